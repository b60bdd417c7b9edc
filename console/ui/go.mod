// Not Go: a module of its own, so that Go's tools, and the house rules, leave this folder and its node_modules alone.
module github.com/palladium-guard/palladium/console/ui

go 1.26
