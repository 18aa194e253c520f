// Package model is the language that every part of Weft speaks: the resources of the Networking API v2.0 as they are
// stored, their typed identifiers, addresses, and the kinds of error a rule may answer.
//
// Objects are values of record. Once an object has been put into a world it is never written again; whoever wants to
// change one clones it first. The package imports the standard library only and does no I/O, so that the server, the
// agent and the pure packages (hostplan, forward) can all share it.
package model
