// Package config reads oslo.config files, those that a Neutron installation already has, into typed options.
//
// Every option is declared once, in a table (options_*.go): group, name, type, default, help, older spellings, and, for
// options of Neutron's that mean nothing here, what Weft does instead. The reader, the sample file and
// docs/configuration.md are made from that table. A fault is an *Error that names file, line, option and cure; what is
// merely unknown or obsolete is a Notice. Passwords are Secrets and never print.
//
// The package reads the files it is given and nothing else: no environment, no network, and no checks of the machine it
// runs on except its host name.
package config
