package notify

import (
	"encoding/json"
	"fmt"
)

// ocsfVersion is the version of the schema that findings keep to.
const ocsfVersion = "1.6.0"

// finding writes a message as an OCSF Detection Finding (class 2004): what begins is created, what ends is closed, and the rest
// updates. finding_info.uid is what it is about, so that these meet in one finding.
func finding(id string, m *Message) ([]byte, error) {
	activity, status := 2, 2 // update, in progress
	switch {
	case m.fires != nil && m.Kind != KindApproved:
		activity, status = 1, 1 // create, new
	case len(m.ends) > 0 && m.fires == nil:
		activity, status = 3, 4 // close, resolved
	}
	severity := map[Severity]int{Info: 1, Warning: 3, Critical: 5}[m.Severity]
	info := map[string]any{
		"uid": m.Subject, "title": m.Title, "desc": m.Text, "types": []string{m.Kind}, "created_time": m.At.UnixMilli(), "data_sources": []string{"palladium"},
	}
	if m.Link != "" {
		info["src_url"] = m.Link
	}
	metadata := map[string]any{
		"version": ocsfVersion, "uid": id, "event_code": m.Kind, "product": map[string]any{"name": "Palladium", "vendor_name": "Palladium"},
	}
	if m.Campaign != "" {
		metadata["correlation_uid"] = "campaign:" + m.Campaign
	}
	out := map[string]any{
		"activity_id": activity, "category_uid": 2, "class_uid": 2004, "type_uid": 200400 + activity, "severity_id": severity, "status_id": status,
		"time": m.At.UnixMilli(), "message": m.Title, "is_alert": m.Severity != Info, "finding_info": info, "metadata": metadata,
	}
	facts := []map[string]any{}
	for _, f := range m.Facts {
		facts = append(facts, map[string]any{"name": f.Name, "value": f.Value, "data": map[string]any{}})
	}
	if len(facts) > 0 {
		out["enrichments"] = facts
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("write the finding: %w", err)
	}
	return b, nil
}
