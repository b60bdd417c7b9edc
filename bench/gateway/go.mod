module github.com/palladium-guard/palladium/bench/gateway

go 1.26.0
