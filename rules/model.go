package rules

// Model returns a copy of the list of what pickles may name, in the form that package pickle parses.
func Model() []byte {
	b, err := files.ReadFile("model.yaml")
	if err != nil { // the build would have failed
		panic(err)
	}
	return b
}
