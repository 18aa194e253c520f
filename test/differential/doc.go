// Package differential sends the same random requests to a Weft server and to a real Neutron (Debian 12's package
// neutron-server) and compares what they answer: status, type of fault, attributes and their values, the order of lists
// and their links. Identifiers, MACs and addresses that a server chose are translated as they appear.
//
// It runs with WEFT_TEST_NEUTRON=1, because neutron-server takes 0.2 s for a request and is not among the packages that
// the other tests need. WEFT_TEST_NEUTRON_SEED and WEFT_TEST_NEUTRON_EPISODES choose other requests.
//
// TestRefusals sends what should be refused, made from the API's own tables, and compares status, type and message of the refusals.
package differential
