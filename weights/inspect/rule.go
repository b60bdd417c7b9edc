package inspect

// Rule names a kind of finding. Names are part of the report format and do not change.
type Rule string

// The rules.
const (
	RuleUnrecognised Rule = "unrecognised"
	RuleUnreadable   Rule = "unreadable"
	RuleName         Rule = "name-mismatch"
	RulePolyglot     Rule = "polyglot"
	RuleLimit        Rule = "limit"
	RuleBroken       Rule = "broken"
	RuleTail         Rule = "tail"
	RuleBomb         Rule = "bomb"
	RuleLink         Rule = "link"

	RuleGlobal     Rule = "pickle-global"
	RuleCall       Rule = "pickle-call"
	RulePersistent Rule = "pickle-persistent-id"
	RuleRegistry   Rule = "pickle-extension-registry"
	RuleFrame      Rule = "pickle-frame"
	RuleMemo       Rule = "pickle-memo"
	RuleBuild      Rule = "pickle-build"
	RuleNested     Rule = "pickle-nested"
	RuleStreams    Rule = "pickle-streams"

	RuleContainer Rule = "opaque-container"
	RulePath      Rule = "member-path"
	RuleZip       Rule = "zip-differential"
	RuleEncrypted Rule = "encrypted"

	RuleObjects   Rule = "object-array"
	RuleHeader    Rule = "header"
	RuleOverlap   Rule = "overlap"
	RuleHole      Rule = "hole"
	RuleDuplicate Rule = "duplicate-name"
	RuleBounds    Rule = "bounds"

	RuleTemplate Rule = "template-code"
	RuleRemote   Rule = "remote-code"
	RuleElse     Rule = "points-elsewhere"
	RulePattern  Rule = "pattern"
	RuleLambda   Rule = "keras-lambda"
	RuleModule   Rule = "keras-module"
	RuleOperator Rule = "graph-operator"
	RuleExternal Rule = "external-data"
	RuleDomain   Rule = "operator-domain"
	RuleCode     Rule = "code"
	RuleNative   Rule = "native-code"
)

// Description explains a rule to whom it is shown.
type Description struct {
	Rule  Rule
	Short string // one sentence
	Help  string // what to do
}

// Descriptions explains all rules.
func Descriptions() []Description {
	const (
		trust  = "Do not load the file before its author has explained it; prefer a copy in safetensors."
		whole  = "Get the file again from its author and compare digests."
		look   = "Read the code before you load the model, and pin its digest."
		own    = "Find out with which tool it was made; what that tool reads is not what others see."
		settle = "Inspect the content with a tool that knows it, or refuse the file."
	)
	return []Description{
		{RuleUnrecognised, "The content is of no known format.", settle},
		{RuleUnreadable, "The file could not be read.", "Check permissions and the medium, then inspect again."},
		{RuleName, "The content is not what the name promises.", own},
		{RulePolyglot, "The content is valid in several formats at once.", own},
		{RuleLimit, "The file is larger or deeper than is inspected.", settle},
		{RuleBroken, "The content ends or breaks before it is complete; loaders run what comes before.", whole},
		{RuleTail, "There are bytes that belong to no part of the format.", own},
		{RuleBomb, "The content unpacks to far more than it is.", trust},
		{RuleLink, "The file is a link or not a regular file.", "Replace it by the file that it stands for."},
		{RuleGlobal, "A pickle names code that is not on the list of what is harmless.", trust},
		{RuleCall, "A pickle calls a value that it computes, so that what runs cannot be seen.", trust},
		{RulePersistent, "A pickle names objects that the loader resolves by itself.", trust},
		{RuleRegistry, "A pickle names code by a number of the extension registry.", trust},
		{RuleFrame, "The frames of a pickle contradict its content.", own},
		{RuleMemo, "A pickle uses its memo in a way that no pickler does.", own},
		{RuleBuild, "A pickle sets the state of code instead of an object.", trust},
		{RuleNested, "A pickle lies inside another one's data.", trust},
		{RuleStreams, "A file holds several pickles, one after the other.", "Check that the loader is meant to read more than the first."},
		{RuleContainer, "A container that is not opened here.", settle},
		{RulePath, "A member's path leads out of the folder in which it is unpacked.", trust},
		{RuleZip, "Readers of zip disagree on what the archive holds.", own},
		{RuleEncrypted, "A member is encrypted.", settle},
		{RuleObjects, "An array holds Python objects, which are stored as a pickle.", trust},
		{RuleHeader, "A header claims what cannot be.", whole},
		{RuleOverlap, "Two tensors share bytes.", own},
		{RuleHole, "Bytes between tensors belong to none.", own},
		{RuleDuplicate, "A name is given twice, so that readers disagree on its value.", own},
		{RuleBounds, "A length or place leads out of the file.", whole},
		{RuleTemplate, "A chat template reaches into Python.", look},
		{RuleRemote, "The model asks its loader to run code that comes with it.", look},
		{RuleElse, "A configuration leads to files elsewhere.", "Point it at files that are signed with the model."},
		{RulePattern, "A regular expression can take exponential time.", look},
		{RuleLambda, "A Keras layer holds Python byte code.", trust},
		{RuleModule, "A Keras model names Python code outside of Keras.", trust},
		{RuleOperator, "A graph holds an operator that reads, writes or runs what is outside of it.", trust},
		{RuleExternal, "Tensors lie in another file.", "Check that the file is signed with the model."},
		{RuleDomain, "A graph needs operators that come with a library of its own.", look},
		{RuleCode, "The file is a program.", look},
		{RuleNative, "The file is machine code.", trust},
	}
}
