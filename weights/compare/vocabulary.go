package compare

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ParseVocabulary returns the token of each number in a tokenizer.json; "" where there is none.
func ParseVocabulary(b []byte) ([]string, error) {
	var file struct {
		Added []struct {
			ID      int    `json:"id"`
			Content string `json:"content"`
		} `json:"added_tokens"`
		Model struct {
			Vocab json.RawMessage `json:"vocab"`
		} `json:"model"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("read the vocabulary: %w", err)
	}
	var out []string
	put := func(id int, token string) error {
		if id < 0 || id >= maxVocabulary {
			return fmt.Errorf("read the vocabulary: a token has the number %d", id)
		}
		for len(out) <= id {
			out = append(out, "")
		}
		out[id] = token
		return nil
	}
	var byToken map[string]int
	if err := json.Unmarshal(file.Model.Vocab, &byToken); err != nil {
		var scored [][]json.RawMessage // of the Unigram model: token and score
		if err := json.Unmarshal(file.Model.Vocab, &scored); err != nil {
			return nil, errors.New("read the vocabulary: it is neither a table of numbers nor a list of scores")
		}
		for id, entry := range scored {
			var token string
			if len(entry) != 2 || json.Unmarshal(entry[0], &token) != nil {
				return nil, fmt.Errorf("read the vocabulary: entry %d is no token with a score", id)
			}
			if err := put(id, token); err != nil {
				return nil, err
			}
		}
	}
	for token, id := range byToken {
		if err := put(id, token); err != nil {
			return nil, err
		}
	}
	for _, t := range file.Added {
		if err := put(t.ID, t.Content); err != nil {
			return nil, err
		}
	}
	return out, nil
}
