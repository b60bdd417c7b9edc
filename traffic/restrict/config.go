package restrict

type rule struct{}

// Config is the section restrict of the configuration.
type Config struct{}

// Default is the configuration that is in force when none is given.
func Default() Config { return Config{} }

// New compiles a configuration. Errors name the rule and the key.
func New(c Config) (*Policy, error) { return &Policy{}, nil }
