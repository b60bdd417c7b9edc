package dossier

// Method says how the inference was made and how often it errs.
type Method struct {
	Site     string   `json:"site"`
	Software string   `json:"software"`
	Policy   string   `json:"policy"` // revision
	Steps    []Step   `json:"steps"`
	Limits   []string `json:"limits"`
	Rates    []Rate   `json:"rates"`
}

// Step is one step of the method.
type Step struct {
	Name string `json:"name"`
	Says string `json:"says"`
}

// method describes the method. The steps are those of packages measure, linkage, campaign, extraction and judge.
func method(m *Material) Method {
	return Method{Site: m.Site, Software: m.Software, Policy: m.Policy, Rates: m.Rates, Steps: []Step{
		{"what is kept", "Of each request and answer only keyed hashes, counts and small vectors are kept. No text of either can be read back from them."},
		{"what is shared", "Accounts are joined to what they show: means of payment, addresses, wording, conversations that moved between them, timing. Each piece weighs as much as it is surprising that two accounts share it, in nats (natural units of log-likelihood)."},
		{"one operator", "The null hypothesis is that the accounts act independently. Window by window it is put to exact binomial tails and to matched random sets of accounts; e-values of looks add up, those of days multiply, the two are averaged, and the false discovery rate over all groups is held by e-BH (Wang and Ramdas 2022). operator_p is the resulting p-value."},
		{"extraction", "A group under one operator is compared with benign linked groups of the same traffic: resellers, tenants, classes, companies. extraction_p is a conformal p-value (Vovk, Gammerman, Shafer 2005): the share of such groups, this one among them, whose use is at least as far towards extraction."},
		{"two keys", "Families of evidence belong to three independent keys: who (identity, network), what (template, continuity, twins, queue) and how (schedule, parameters). Nothing is enforced on fewer than two keys, and no account is judged alone."},
		{"what is never evidence", "Nationality, the country of an address, the use of a VPN, and what an account declares about itself."},
	}, Limits: []string{
		"operator_p and extraction_p are p-values: how often chance alone gives as much. They are not the probability that the claim is false.",
		"membership is the posterior probability that one account belongs to the group; single accounts may be in it wrongly.",
		"The extraction test is as good as the benign groups that it was calibrated on; how many they were is said in the inference.",
		"Purpose and identity of the operator are not inferred. That a group extracts a model does not say who does it, or that it is unlawful.",
	}}
}
