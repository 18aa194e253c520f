// Package wire is the contract of server and agent: the messages of feed.proto, generated, and the translation between
// them and model. Both sides import it and nothing of each other.
package wire

//go:generate go build -o ../../.bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
//go:generate protoc --plugin=../../.bin/protoc-gen-go --plugin=../../.bin/protoc-gen-go-grpc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative feed.proto
