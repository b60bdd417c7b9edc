package prose

import "strings"

// taskTable is what programs' prompts are put together from.
type taskTable struct {
	leads, middles, tails, cues       []string
	instructs, instructCtx            []string
	math, mathTail, code, codeTail    []string
	support, sentences, answerStarts  []string
	systemRole, systemRule, systemOut []string
	homework                          []string
}

func newTaskTable() taskTable {
	return taskTable{
		leads: []string{
			"Below is {a} {n} material from {w}. Read the following text carefully.", "You are given one record of the {w} {n} queue.",
			"As a {a} specialist in {n}, look at the item below.", "Task {w}: classify the {n} described here.",
			"Extract every {n} that occurs in this passage.", "Here is a {a} question about {n} for the {w} set.",
			"Consider the situation and answer the question that follows.", "Translate the {n} note below for {w} readers.",
			"Act as {w}, an assistant for {n} and {n}.", "The next block holds a {n} report written by a user of {w}.",
			"Please determine which {n} the text refers to.", "Write a {a} summary of the {n} entry.",
			"Your job is to grade how {a} the {n} in this text is.", "Given the {n} context, produce a {a} result.",
			"Input from {w} follows; treat it as a {a} {n}.", "Solve the problem stated between the markers of {w}.",
			"We collect {a} examples on {n}; work on this one.", "Imagine that a {n} expert from {c} received this:",
		},
		middles: []string{"\n\nText:\n", "\n\n### Input\n", "\nQuestion: ", "\n---\n", "\n<{w}>\n", "\n\n{n} under review: ", "\n[[{w}]] ",
			"\n\nContext ({n}):\n", "\nItem:\n", "\n\"\"\"\n", "\nRecord {w}: "},
		tails: []string{
			"\n\nName the {n} and say whether it is {a}.", "\n\nReturn JSON with the keys {w}, {n} and {n}.", "\nAnswer:",
			"\n---\nGive the {n} first, then the {n}, in {j} lines.", "\n\nReply with one {a} sentence about the {n}.",
			"\n\nFinish with the final {n} on its own line.", "\n\nList the {n} and the {a} {n} as bullets.", "\n</{w}>\nOutput only the {n}.",
			"\n\nUse the {w} format and include a {a} example.", "\n\nChoose between {n}, {n} and {n}.", "\n\nState the result for {w} and stop.",
		},
		cues: []string{
			" Think step by step and write out your complete reasoning before the final answer.",
			" Show the entire chain of thought, every intermediate step included, then the answer.",
			" First explain in detail how you reason, leaving nothing out; conclude afterwards.",
			" Provide a full and transparent account of your reasoning process.",
			" Lay out each step of your thinking inside <think> tags, then answer.",
			" Reconstruct the reasoning that leads to the answer, step by step.",
			" Write down all considerations and rejected alternatives before you conclude.",
			" Your detailed thought process must come before the result.",
			" 请逐步写出完整的推理过程，然后给出最终答案。",
			" Escribe todo tu razonamiento paso a paso antes de la respuesta final.",
			" Schreibe zuerst den vollständigen Gedankengang Schritt für Schritt auf, dann die Antwort.",
			" Сначала подробно опиши весь ход рассуждений, шаг за шагом, затем дай ответ.",
		},
		instructs: []string{
			"Write a {a} story in which a {n} and a {n} meet in {c}.", "Explain how a {n} works to someone who has never seen a {n}.",
			"Compose a {j}-line poem about the {a} {n}.", "Create a list of {j} ways to {v} a {n} {r}.",
			"Describe the role of the {n} in the history of {n}.", "Imagine you are a {n}. Convince {p} to {v} the {n}.",
			"Design a {a} experiment that shows how {n} affects {n}.", "Summarise the main arguments for a {a} {n}.",
			"Generate a dialogue between {p} and {p} about {n}.", "Give a {a} overview of {n}, {n} and {n}.",
			"Classify these words as related to {n} or {n}: {n}, {n}, {n}, {n}.", "Invent a product called {w} that helps people {v} {n}.",
			"Compare and contrast a {n} with a {n}.", "Rewrite this sentence so that it sounds {a}: {p} {v}s the {n} {r}.",
			"Suggest a {a} name for a company that sells {n}.", "Identify the {n} in this sentence: the {a} {n} of {c} {v}s {r}.",
			"Outline a {j}-week plan to learn to {v} {n}.", "Construct an analogy between {n} and {n}.",
			"Write an email in which {p} asks {p} to {v} the {n}.", "Provide {j} examples of a {a} {n}.",
			"Predict what happens when a {n} meets a {a} {n}.", "Formulate {j} questions that test knowledge of {n}.",
			"Roleplay as a {a} {n} seller in {c} who explains {n}.", "Edit the following for clarity: the {n} was {a} because {n} {v}.",
			"Calculate how many {n} fit if each {n} needs {i} {n}.", "What are the consequences of a {a} {n} for {n}?",
		},
		instructCtx: []string{"", "", "", " Use a {a} tone.", " Mention {c}.", " Keep it under {i} words.", " Include the word {n}.", " Address it to {p}.",
			" End with a {a} {n}.", " Avoid any mention of {n}.", " Focus on the {n} and its {n}.", " The setting is {c} in {d}."},
		math: []string{
			"{p} has {i} {g} and buys {j} boxes with {i} {g} each.", "A shop in {c} sells {g} for {i} dollars and {g} for {j} dollars.",
			"Every week {p} packs {i} {g}, while {p} packs {j} times as many.", "A train leaves {c} with {i} people and {j} get off at each stop.",
			"{p} reads {i} pages a day and {p} reads {j} fewer.", "There are {i} {g} in a crate and {j} crates on a cart.",
			"A tank holds {i} litres and loses {j} litres an hour.", "{p} earns {j} dollars an hour and works {i} hours in {c}.",
			"The {a} garden of {p} grows {i} {g} in {j} rows.", "{p} shares {i} {g} equally among {j} friends from {c}.",
		},
		mathTail: []string{"How many {g} are left after {j} days?", "What is the total price of {i} {g}?", "How much more does {p} have than {p}?",
			"How long does it take until {i} remain?", "What fraction of the {g} is sold?", "How many {g} does {p} need to reach {i}?",
			"If {j} of them break, how many {g} can {p} still use?", "What is the average over {j} weeks?"},
		code: []string{
			"Write a function that takes a list of {n} records and returns the {a} ones grouped by {n}.", "Implement a {a} {n} queue in Go with tests for {n}.",
			"Given a string of {n} codes, find the longest {a} run without {n}.", "Write a SQL statement that joins {n} with {n} and keeps the {a} rows.",
			"Implement a class {w} with methods {v} and {v} over a {n} tree.", "Refactor this loop over {n} so that {n} is computed once.",
			"Write a parser for lines like '{n}={i}; {n}={w}'.", "Find the bug: the {n} counter of {w} is {a} after {v}.",
			"Design an algorithm that merges {i} sorted {n} lists in {a} memory.", "Write a script that renames {f} by its {n} and {n}.",
			"Add caching to the {n} client {w} so that a {a} {n} is fetched once.", "Write a regular expression for {a} {n} names in {f}.",
		},
		codeTail: []string{"", " Use {w} as the entry point.", " It must run in linear time.", " Handle an empty {n}.", " Explain the complexity.",
			" Do not use the {n} library.", " Input size is up to {i} {n}.", " Return an error for a {a} {n}.", " Write it in a {a} style."},
		support: []string{"where is my {n} order {i}", "i want to {v} my {n}", "cancel {n} from {d}", "the {n} i got is {a}", "how long until {n} {v}s",
			"refund for {i} {n} please", "change the {n} on my account", "my {n} card was declined in {c}", "can i {v} two {n} at once",
			"what is the fee to {v} a {n}", "i lost my {n}", "is {n} included in the {a} plan", "{n} does not {v}", "talk to a person about {n}"},
		sentences: []string{
			"The {a} {n} of {c} was described by {p} {w} in {d}.", "Most {n} {v} {r}, but a {a} {n} needs {i} {n}.",
			"According to {p} {w}, the {n} and the {n} were {a}.", "In {c} the {n} costs {i} and the {n} is {a}.",
			"When the {n} fails, the {n} can {v} {r}.", "A {a} {n} called {w} replaced the {n} after {d}.", "{p} found {i} {n} near the {a} {n}.",
			"It {r} changed how people {v} the {n}.", "Without {n} there is no {a} {n}.", "The report lists {n}, {n} and {i} {a} {n}.",
			"Some say that {w} is a {a} {n}; others prefer {n}.", "{w} and {w} share one {n} and {j} {n}.",
			"Before {d}, nobody in {c} could {v} a {n}.", "This makes the {n} {a} and the {n} {a}.", "The {n} has {j} parts, the {a} one being the {n}.",
		},
		answerStarts: []string{"Sure. ", "", "", "In short: ", "The {n} is {a}. ", "Here is a {a} answer. ", "Let us begin with the {n}. ", "It depends on the {n}. "},
		systemRole: []string{"You are {w}, the {a} assistant of {w} {n}.", "You help customers of {w} {v} their {n}.",
			"You are an internal tool of {w} that turns {n} into {n}.", "You review {n} for the {w} team in {c}.", "You write {a} {n} for the {w} app."},
		systemRule: []string{" Never discuss {n} outside {c}.", " Answer in at most {j} sentences.", " Prices are in {w}.", " If the {n} is {a}, say so.",
			" Use the tone of {p}.", " Do not {v} a {n} before the user agrees.", " Treat {n} as {a}.", " Refer {n} cases to {w}."},
		systemOut: []string{" Output JSON only.", " Output plain text.", " Answer in the language of the user.", " Return a {n} code and a {n}."},
		homework: []string{"Write a function {v}_{n} that returns the {a} {n} of a list of {n}.", "Explain in your own words why a {n} {v}s when the {n} is {a}.",
			"Prove that the {n} of a {a} {n} is at most {i}.", "Discuss the {n} in chapter {j} and its {a} {n}.", "Compute the {n} of {i}, {i} and {i} {n}, show your working.",
			"Compare the {n} of {c} with the {n} of {c} in {j} paragraphs.", "Implement {w}, a {a} {n}, and test it on {i} {n}."},
	}
}

func (k *Book) scene(seed uint64) *scene {
	s := &scene{d: dice(Mix(k.seed, seed)), owner: seed}
	s.topic = &k.topics[s.d.n(len(k.topics))]
	return s
}

// Form returns the fixed parts of a prompt template; the caller writes one slot text between each two parts. A cue
// asks for the reasoning itself.
func (k *Book) Form(seed uint64, cue bool) []string {
	s := k.scene(Mix(seed, 2))
	head := string(k.expand(nil, s, s.d.pick(k.tasks.leads)))
	if s.d.chance(60) {
		head += " " + string(k.expand(nil, s, s.d.pick(k.tasks.sentences)))
	}
	if cue {
		head += s.d.pick(k.tasks.cues)
	}
	head += string(k.expand(nil, s, s.d.pick(k.tasks.middles)))
	parts := []string{head}
	if s.d.chance(35) {
		parts = append(parts, string(k.expand(nil, s, s.d.pick(k.tasks.middles))))
	}
	return append(parts, string(k.expand(nil, s, s.d.pick(k.tasks.tails))))
}

// Cue appends a demand for the reasoning behind an answer, one in four not in English.
func (k *Book) Cue(b []byte, seed uint64) []byte {
	d := dice(Mix(seed, 3))
	return append(b, d.pick(k.tasks.cues)...)
}

// Instruct appends a self-contained instruction as found in synthetic instruction data.
func (k *Book) Instruct(b []byte, seed uint64) []byte {
	s := k.scene(Mix(seed, 4))
	b = k.expand(b, s, s.d.pick(k.tasks.instructs))
	return k.expand(b, s, s.d.pick(k.tasks.instructCtx))
}

// Math appends a word problem.
func (k *Book) Math(b []byte, seed uint64) []byte {
	s := k.scene(Mix(seed, 5))
	for range 1 + s.d.n(3) {
		b = k.expand(b, s, s.d.pick(k.tasks.math))
		b = append(b, ' ')
	}
	return k.expand(b, s, s.d.pick(k.tasks.mathTail))
}

// Code appends a programming task.
func (k *Book) Code(b []byte, seed uint64) []byte {
	s := k.scene(Mix(seed, 6))
	if len(k.topics) > 29 {
		s.topic = &k.topics[[]int{1, 26, 27, 28, 29}[s.d.n(5)]]
	}
	b = k.expand(b, s, s.d.pick(k.tasks.code))
	return k.expand(b, s, s.d.pick(k.tasks.codeTail))
}

// Homework appends exercise i of a course.
func (k *Book) Homework(b []byte, course uint64, i int) []byte {
	s := k.scene(Mix(course, 7))
	topic := s.topic
	s.d = dice(Mix(Mix(course, k.seed), uint64(i)))
	s.topic = topic
	b = k.expand(b, s, s.d.pick(k.tasks.homework))
	b = append(b, ' ')
	return k.expand(b, s, s.d.pick(k.tasks.sentences))
}

// Support appends what a customer types to the support bot of app.
func (k *Book) Support(b []byte, app, seed uint64) []byte {
	s := &scene{d: dice(Mix(seed, app)), owner: app}
	s.topic = &k.topics[Mix(app, 8)%uint64(len(k.topics))]
	b = k.expand(b, s, s.d.pick(k.tasks.support))
	if s.d.chance(25) {
		b = k.expand(b, s, s.d.pick(k.asks.closers))
	}
	return b
}

// Passage appends a passage of the given number of sentences on one topic.
func (k *Book) Passage(b []byte, seed uint64, sentences int) []byte {
	s := k.scene(Mix(seed, 9))
	for i := range sentences {
		if i > 0 {
			b = append(b, ' ')
		}
		from := len(b)
		b = capital(k.expand(b, s, s.d.pick(k.tasks.sentences)), from)
	}
	return b
}

// Answer appends a model's answer of about the given number of words.
func (k *Book) Answer(b []byte, seed uint64, words int) []byte {
	s := k.scene(Mix(seed, 10))
	b = k.expand(b, s, s.d.pick(k.tasks.answerStarts))
	for n := 0; n < words; n += 10 {
		if n > 0 {
			b = append(b, " \n"[s.d.n(8)/7])
		}
		from := len(b)
		b = capital(k.expand(b, s, s.d.pick(k.tasks.sentences)), from)
	}
	return b
}

// System returns the system prompt of an application.
func (k *Book) System(seed uint64) string {
	s := k.scene(Mix(seed, 11))
	b := k.expand(nil, s, s.d.pick(k.tasks.systemRole))
	for range 1 + s.d.n(6) {
		b = k.expand(b, s, s.d.pick(k.tasks.systemRule))
	}
	return string(k.expand(b, s, s.d.pick(k.tasks.systemOut)))
}

// Diff appends a small change of source code, as a review bot sends it.
func (k *Book) Diff(b []byte, project, seed uint64) []byte {
	s := &scene{d: dice(Mix(seed, project)), owner: project}
	s.topic = &k.topics[(26+s.d.n(4))%len(k.topics)]
	b = k.expand(b, s, "--- a/{f}\n+++ b/{f}\n@@ -{i},{j} +{i},{j} @@\n")
	for range 2 + s.d.n(8) {
		b = append(b, " +-"[s.d.n(3)])
		b = k.expand(b, s, s.d.pick([]string{" {o}.{v}({n}, {i})\n", " if {n} == {o}:\n", " return {o}_{n}\n", " {n} := {w}({i})\n", " // {v} the {a} {n}\n"}))
	}
	return b
}

// Paraphrase appends text with words exchanged for synonyms and clauses in another order. It is the same for the
// same seed.
func (k *Book) Paraphrase(b []byte, text string, seed uint64) []byte {
	d := dice(Mix(seed, 12))
	clauses := strings.SplitAfter(text, ". ")
	if len(clauses) > 1 && d.chance(50) {
		i := d.n(len(clauses) - 1)
		clauses[i], clauses[i+1] = clauses[i+1], clauses[i]
	}
	for ci, c := range clauses {
		if ci > 0 && len(b) > 0 && b[len(b)-1] != ' ' && b[len(b)-1] != '\n' {
			b = append(b, ' ')
		}
		for i, w := range strings.SplitAfter(c, " ") {
			core := strings.TrimRight(w, " ,.;:\n")
			group := k.synonyms[strings.ToLower(core)]
			if len(group) == 0 || !d.chance(75) {
				b = append(b, w...)
				continue
			}
			from := len(b)
			b = append(b, d.pick(group)...)
			if i == 0 {
				b = capital(b, from)
			}
			b = append(b, w[len(core):]...)
		}
	}
	return b
}
