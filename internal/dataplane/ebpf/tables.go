package ebpf

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// The C enumerations of bpf/lib/maps.h that have no type of their own to be generated from.
const (
	cfgVTEP, cfgVTEP6 = 1, 2

	epUp, epSecure, epDHCP4, epAllowAll, epPolicy, epStateful, epPeer, epDHCP6, epGateway = 1, 2, 4, 8, 16, 32, 64, 128, 256

	netVXLAN, netLearning, netRA, netExternal, netSpeaks = 1, 2, 4, 16, 32

	kindRif, kindNeighbor, kindService, kindFip, kindRouted = 1, 2, 3, 4, 5
	neighborRouter                                          = 1

	fipCentral = 1

	serviceDNS, serviceMetadata = 1, 2

	routerUp = 1

	routeBlackhole, routeVia, routeV4, routeGateway = 1, 2, 4, 8

	spoofV4, spoofV6, spoofFixed = 1, 2, 4
)

// tables are all maps that the agent writes.
type tables struct {
	gens  *generations
	ids   map[rootKind]*slots
	rifID *slots

	endpoints *rootTable[weftEndpoint]
	networks  *rootTable[weftNetwork]
	peers     *rootTable[weftPeer]
	neighbors *rootTable[weftNeighbor]
	routers   *rootTable[weftRouter]

	devices *table[uint32, uint32]
	vnis    *table[uint32, uint32]
	vteps   *table[weftIp, uint32]
	macs    *table[weftMacKey, weftMacVal]
	addrs   *table[weftAddrKey, weftAddrVal]
	spoof   *table[weftSpoofKey, uint32]
	rifs    *table[uint32, weftRif]
	locals  *table[weftLocalKey, uint32]
	sources *table[weftLpmKey, weftIp]
	routes  *table[weftLpmKey, weftRouteVal]
	subnets *table[weftLpmKey, weftRmac]
	floods  *floodTable
	claims  *table[weftClaimKey, weftClaim]
	// learn are the maps that the programs learn into, by learnMaps; learnGs are the counters of networks where they do, by slot;
	// hints is what the last State said of who was heard last, nil before the first.
	learn   [2]*ebpf.Map
	learnGs map[uint32]uint32
	hints   map[weftFactKey]model.PortID
	// moved are the networks of neighbours that changed.
	moved map[uint32]bool

	physicalNets *table[weftPhysicalKey, weftPhysicalVal]
	fips         *table[weftAddrKey, weftFip]
	epFip        *table[weftEpFipKey, weftEpFipVal]
	legs         *table[weftLegKey, weftLeg]

	ruleSlots *slots
	ruleIDs   *table[uint32, weftRuleId]
	polRules  *table[weftPolruleKey, weftPolrule]
	polClass  *table[weftPolclassKey, uint32]
	classAddr *table[weftAddrKey, uint32]
	classNet  *table[weftLpmKey, uint32]
	// lost are the sets that some address is no longer in.
	lost map[uint32]bool
	// dirty are the objects whose parts changed and whose generation has not grown since: it outlives a sync that fails.
	dirty map[root]bool

	// policy are the tables that an endpoint's policy number leads to: written before everything else, and pruned after the
	// endpoints have turned to new ones. classes compiles them; rewritten: it has since they were last brought to the kernel whole.
	policy    []parts
	classes   *classifier
	rewritten bool
	parts     []parts
	config    *ebpf.Map
	host      weftHost
	states    *ebpf.Map
	outer     *ebpf.Map
}

// newTables lays the tables over what was loaded.
func newTables(c *ebpf.Collection) *tables {
	m := c.Maps
	t := &tables{gens: newGenerations(m["gens"], raiser{c.Programs["raise"]}), learnGs: map[uint32]uint32{}, moved: map[uint32]bool{}, dirty: map[root]bool{}, ids: map[rootKind]*slots{},
		config: m["config"], states: m["ep_state"], outer: m["outer"]}
	for kind, name := range map[rootKind]string{rootEndpoint: "endpoints", rootNetwork: "networks", rootPeer: "peers",
		rootNeighbor: "neighbors", rootRouter: "routers"} {
		t.ids[kind] = newSlots(m[name].MaxEntries(), t.gens)
	}
	t.rifID = newSlots(m["rifs"].MaxEntries(), nil)
	t.endpoints = &rootTable[weftEndpoint]{kind: rootEndpoint, m: m["endpoints"], slots: t.ids[rootEndpoint],
		stamp: func(v *weftEndpoint) (gs, gen *uint32) { return &v.Gs, &v.Gen }, id: func(v *weftEndpoint) [16]byte { return v.Uuid }}
	t.networks = &rootTable[weftNetwork]{kind: rootNetwork, m: m["networks"], slots: t.ids[rootNetwork],
		stamp: func(v *weftNetwork) (gs, gen *uint32) { return &v.Gs, &v.Gen }, id: func(v *weftNetwork) [16]byte { return v.Uuid },
		silent: func(v *weftNetwork) { v.FloodVersion, v.FloodEndpoints, v.FloodTotal, v.AnnounceTotal = 0, 0, 0, 0 }}
	t.peers = &rootTable[weftPeer]{kind: rootPeer, m: m["peers"], slots: t.ids[rootPeer],
		stamp: func(v *weftPeer) (gs, gen *uint32) { return &v.Gs, &v.Gen }, id: func(v *weftPeer) [16]byte { return addrOf(v.Vtep).As16() }}
	t.neighbors = &rootTable[weftNeighbor]{kind: rootNeighbor, m: m["neighbors"], slots: t.ids[rootNeighbor],
		stamp: func(v *weftNeighbor) (gs, gen *uint32) { return &v.Gs, &v.Gen }, id: func(v *weftNeighbor) [16]byte { return v.Uuid },
		changed: func(v weftNeighbor) { t.moved[v.Net] = true }}
	t.routers = &rootTable[weftRouter]{kind: rootRouter, m: m["routers"], slots: t.ids[rootRouter],
		stamp: func(v *weftRouter) (gs, gen *uint32) { return &v.Gs, &v.Gen }, id: func(v *weftRouter) [16]byte { return v.Uuid }}
	initRoots(t)
	t.layParts(m)
	return t
}

// Timeouts of connections and fragments, by the classes of bpf/lib/maps.h, in seconds.
var defaultTimeouts = [...]uint32{60, 86400, 120, 10, 30, 180, 30, 600, 30}

func initRoots(t *tables) {
	t.endpoints.have, t.endpoints.want = map[uint32]weftEndpoint{}, map[uint32]weftEndpoint{}
	t.networks.have, t.networks.want = map[uint32]weftNetwork{}, map[uint32]weftNetwork{}
	t.peers.have, t.peers.want = map[uint32]weftPeer{}, map[uint32]weftPeer{}
	t.neighbors.have, t.neighbors.want = map[uint32]weftNeighbor{}, map[uint32]weftNeighbor{}
	t.routers.have, t.routers.want = map[uint32]weftRouter{}, map[uint32]weftRouter{}
}

func (t *tables) layParts(m map[string]*ebpf.Map) {
	ofSlot := func(kind rootKind) func(uint32) root { return func(s uint32) root { return root{kind, s} } }
	ep, nw, peer, rt := ofSlot(rootEndpoint), ofSlot(rootNetwork), ofSlot(rootPeer), ofSlot(rootRouter)
	// A router interface's entries belong to its router; the interface may be one that is only in the kernel yet.
	ofRif := func(slot uint32) root {
		if r, ok := t.rifs.want[slot]; ok {
			return rt(r.Router)
		}
		return rt(t.rifs.have[slot].Router)
	}
	holder := func(kind, slot, net uint32) root {
		switch kind {
		case kindRif:
			return ofRif(slot)
		case kindFip:
			return nw(net)
		case kindRouted:
			return peer(slot)
		}
		return root{rootNeighbor, slot}
	}
	t.devices = newTable("devices", m["devices"], func(_ uint32, v uint32) root { return ep(v) })
	t.vnis = newTable("vnis", m["vnis"], func(_ uint32, v uint32) root { return nw(v) })
	t.vteps = newTable("vteps", m["vteps"], func(_ weftIp, v uint32) root { return peer(v) })
	t.macs = newTable("macs", m["macs"], func(k weftMacKey, v weftMacVal) root { return holder(v.Kind, v.Slot, k.Net) })
	t.addrs = newTable("addrs", m["addrs"], func(k weftAddrKey, v weftAddrVal) root { return holder(v.Kind, v.Slot, k.Net) })
	t.spoof = newTable("spoof", m["spoof"], func(k weftSpoofKey, _ uint32) root { return ep(k.Ep) })
	t.rifs = newTable("rifs", m["rifs"], func(_ uint32, v weftRif) root { return rt(v.Router) })
	t.locals = newTable("locals", m["locals"], func(k weftLocalKey, _ uint32) root { return rt(k.Router) })
	t.sources = newTable("sources", m["sources"], func(k weftLpmKey, _ weftIp) root { return ofRif(k.Id) })
	t.routes = newTable("routes", m["routes"], func(k weftLpmKey, _ weftRouteVal) root { return rt(k.Id) })
	t.subnets = newTable("subnets", m["subnets"], func(k weftLpmKey, _ weftRmac) root { return nw(k.Id) })
	t.physicalNets = newTable("physical_nets", m["physical_nets"], func(_ weftPhysicalKey, v weftPhysicalVal) root { return nw(v.Net) })
	t.fips = newTable("fips", m["fips"], func(k weftAddrKey, _ weftFip) root { return nw(k.Net) })
	t.epFip = newTable("ep_fip", m["ep_fip"], func(k weftEpFipKey, _ weftEpFipVal) root { return ep(k.Ep) })
	t.legs = newTable("legs", m["legs"], func(k weftLegKey, _ weftLeg) root { return rt(k.Router) })
	t.claims = newTable("claims", m["claims"], func(_ weftClaimKey, v weftClaim) root { return root{rootNeighbor, v.Neighbor} })
	t.learn = [2]*ebpf.Map{m[learnMaps[0]], m[learnMaps[1]]}
	t.floods = &floodTable{m: m["floods"], have: map[uint32]floodList{}, want: map[uint32]floodList{}}
	t.layPolicy(m)
	// Devices last: an endpoint answers to its interface once everything else is there.
	t.parts = []parts{t.classAddr, t.classNet, t.vnis, t.vteps, t.rifs, t.locals, t.sources, t.routes, t.subnets, t.fips, t.epFip, t.legs, t.macs, t.addrs, t.claims, t.spoof,
		t.physicalNets, t.devices}
}

func (t *tables) layPolicy(m map[string]*ebpf.Map) {
	none := func() root { return root{kind: rootPolicy} }
	t.ruleSlots = newSlots(m["rule_ids"].MaxEntries(), nil)
	t.lost = map[uint32]bool{}
	t.ruleIDs = newTable("rule_ids", m["rule_ids"], func(uint32, weftRuleId) root { return none() })
	t.polRules = newTable("pol_rules", m["pol_rules"], func(k weftPolruleKey, _ weftPolrule) root { return root{rootPolicy, k.Policy} })
	t.polClass = newTable("pol_class", m["pol_class"], func(k weftPolclassKey, _ uint32) root { return root{rootPolicy, k.Policy} })
	t.classAddr = newTable("class_addr", m["class_addr"], func(weftAddrKey, uint32) root { return none() })
	t.classNet = newTable("class_net", m["class_net"], func(weftLpmKey, uint32) root { return none() })
	t.classAddr.touched, t.classNet.touched = map[weftAddrKey]struct{}{}, map[weftLpmKey]struct{}{}
	t.classAddr.gone = func(set uint32) { t.lost[set] = true }
	t.classNet.gone = func(set uint32) { t.lost[set&^classV6] = true }
	t.policy = []parts{t.ruleIDs, t.polRules, t.polClass}
	t.classes = newClassifier(t)
}

// voidLost marks the endpoints whose rules told an address apart that has left a set: what the rules allowed it ends.
func (t *tables) voidLost() {
	for slot, e := range t.endpoints.have {
		for set := range t.lost {
			if _, ok := t.polClass.have[weftPolclassKey{Policy: e.Policy, Set: set}]; ok {
				t.dirty[root{rootEndpoint, slot}] = true
				break
			}
		}
	}
	clear(t.lost)
}

// load reads what a former process left in the kernel. That one may have died between an object's parts and its generation: each object gets
// a new one, so that whatever was decided before is decided again.
func (t *tables) load() error {
	for _, l := range []interface {
		load() error
		mark(dirty map[root]bool)
	}{t.endpoints, t.networks, t.peers, t.neighbors, t.routers} {
		if err := l.load(); err != nil {
			return err
		}
		l.mark(t.dirty)
	}
	for _, p := range slices.Concat(t.policy, t.parts) {
		if err := p.load(); err != nil {
			return err
		}
	}
	for slot, v := range t.ruleIDs.have {
		t.ruleSlots.restore(v.Uuid, slot, 0)
	}
	for slot, v := range t.rifs.have {
		t.rifID.restore(v.Uuid, slot, 0)
	}
	for slot, v := range t.networks.have {
		if v.LearnGs != 0 {
			t.learnGs[slot] = v.LearnGs
			t.gens.take(v.LearnGs)
		}
	}
	t.gens.unpublished = 1 // the former process may have died before it did
	if err := t.config.Lookup(uint32(0), &t.host); err != nil {
		return fmt.Errorf("read map config: %w", err)
	}
	return t.floods.load(t.networks.have)
}

func (t *tables) begin() {
	for _, s := range t.ids {
		clear(s.touched)
	}
	clear(t.rifID.touched)
	t.endpoints.begin()
	t.networks.begin()
	t.peers.begin()
	t.neighbors.begin()
	t.routers.begin()
	for _, p := range t.parts { // those of policies are the classifier's
		p.begin()
	}
	clear(t.floods.want)
}

// sync brings the kernel to what is wanted. deletes false: nothing goes (the feed is not in sync).
//
// The order is that of docs/pipeline.md, section 13: parts, then the objects under a new generation, then the generation;
// objects that go are voided first.
func (t *tables) sync(host weftHost, deletes bool) map[root]error {
	failed, dirty := map[root]error{}, t.dirty
	if err := t.writeHost(host, dirty); err != nil {
		failed[root{}] = err
	}
	for _, p := range slices.Concat(t.policy, t.parts) {
		p.write(dirty, failed)
	}
	if deletes {
		for _, p := range slices.Backward(t.parts) {
			p.prune(dirty, failed)
		}
	}
	t.voidLost()
	t.floods.write(t.networks, deletes, failed)
	t.peers.write(t.gens, dirty, failed)
	t.networks.write(t.gens, dirty, failed)
	t.neighbors.write(t.gens, dirty, failed)
	t.voidHeard(failed)
	t.routers.write(t.gens, dirty, failed)
	t.resetStates(failed)
	t.endpoints.write(t.gens, dirty, failed)
	if deletes {
		t.endpoints.prune(t.gens, dirty, failed)
		for _, p := range slices.Backward(t.policy) {
			p.prune(dirty, failed)
		}
		t.routers.prune(t.gens, dirty, failed)
		t.neighbors.prune(t.gens, dirty, failed)
		t.voidHeard(failed)
		before := len(t.networks.have)
		t.networks.prune(t.gens, dirty, failed)
		if len(t.networks.have) < before {
			if err := t.pruneOuter(); err != nil {
				failed[root{}] = err
			}
		}
		t.peers.prune(t.gens, dirty, failed)
		t.sweep()
	}
	t.floods.prune(t.networks.have)
	t.tidy()
	t.rewritten = t.rewritten && (len(failed) > 0 || !deletes)
	return failed
}

// syncSets is sync after a State that differs from the former one, which was brought about wholly, in its address sets alone. false: it
// could not be done wholly, and sync is to look at everything.
func (t *tables) syncSets(s *hostplan.State, deletes bool) bool {
	t.classes.refresh(s.AddressSets)
	if len(t.classes.problems) > 0 {
		return false
	}
	failed, dirty := map[root]error{}, t.dirty
	policy := t.policy
	if !t.rewritten {
		policy = nil
	}
	for _, p := range append(slices.Clone(policy), t.classAddr, t.classNet) {
		p.write(dirty, failed)
	}
	if deletes {
		t.classNet.prune(dirty, failed)
		t.classAddr.prune(dirty, failed)
	}
	t.voidLost()
	t.endpoints.write(t.gens, dirty, failed)
	if deletes {
		for _, p := range slices.Backward(policy) {
			p.prune(dirty, failed)
		}
	}
	t.tidy()
	t.rewritten = t.rewritten && (len(failed) > 0 || !deletes)
	return len(failed) == 0
}

// tidy forgets what is gone, and what has no generation: a policy that changes is another one.
func (t *tables) tidy() {
	known := map[rootKind]func(uint32) bool{rootEndpoint: t.endpoints.known, rootNetwork: t.networks.known, rootPeer: t.peers.known,
		rootNeighbor: t.neighbors.known, rootRouter: t.routers.known}
	for r := range t.dirty {
		if is := known[r.kind]; is == nil || !is(r.slot) {
			delete(t.dirty, r)
		}
	}
}

// voidHeard lets changes of neighbours count for decisions that depend on what is heard on their networks.
func (t *tables) voidHeard(failed map[root]error) {
	if err := t.voidLearned(t.moved); err != nil {
		failed[root{}] = err
		return
	}
	clear(t.moved)
}

// resetStates clears the buckets and counts that a former holder of an endpoint's slot left.
func (t *tables) resetStates(failed map[root]error) {
	for slot := range t.endpoints.want {
		if _, ok := t.endpoints.have[slot]; ok {
			continue
		}
		if err := t.states.Put(slot, &weftEpRun{}); err != nil {
			failed[root{rootEndpoint, slot}] = fmt.Errorf("write map ep_state: %w", err)
		}
	}
}

// pruneOuter forgets who was outside on networks that are gone, whose numbers others will get.
func (t *tables) pruneOuter() error {
	var k weftAddrKey
	var v weftOuterVal
	var gone []weftAddrKey
	it := t.outer.Iterate()
	for it.Next(&k, &v) {
		if _, ok := t.networks.have[k.Net]; !ok {
			gone = append(gone, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map outer: %w", err)
	}
	for _, k := range gone {
		_ = t.outer.Delete(&k) // gone already is as good
	}
	return nil
}

// sweep gives back the numbers of what is neither in the kernel nor named by the last compilation.
func (t *tables) sweep() {
	sweep(t.ids[rootEndpoint], t.endpoints.have)
	sweep(t.ids[rootNetwork], t.networks.have)
	for slot, gs := range t.learnGs {
		if !t.ids[rootNetwork].used[slot] {
			t.gens.free(gs)
			delete(t.learnGs, slot)
		}
	}
	sweep(t.ids[rootPeer], t.peers.have)
	sweep(t.ids[rootNeighbor], t.neighbors.have)
	sweep(t.ids[rootRouter], t.routers.have)
	sweep(t.rifID, t.rifs.have)
	sweep(t.ruleSlots, t.ruleIDs.have)
}

func sweep[V any](s *slots, have map[uint32]V) {
	for id, slot := range s.byID {
		if _, ok := have[slot]; !ok && !s.touched[slot] {
			s.release(id, slot)
		}
	}
}

// writeHost stores the host's own values. Every peer's generation goes up with them, for each tunnelled flow holds them.
func (t *tables) writeHost(host weftHost, dirty map[root]bool) error {
	if host == t.host {
		return nil
	}
	if err := t.config.Put(uint32(0), &host); err != nil {
		return fmt.Errorf("write map config: %w", err)
	}
	t.host = host
	for slot := range t.peers.want {
		dirty[root{rootPeer, slot}] = true
	}
	return nil
}
