package wire

import (
	"fmt"

	"github.com/weft-cloud/weft/internal/model"
)

// NDPProxyParts is an NDP proxy as its host must know it.
type NDPProxyParts struct {
	Proxy    *model.NDPProxy // ID, Router, PortID and Address alone
	External model.NetworkID // on which the address is answered for
	Central  bool
}

// FromNDPProxy projects an NDP proxy.
func FromNDPProxy(p NDPProxyParts) *NDPProxy {
	n := p.Proxy
	return &NDPProxy{Id: ID(n.ID.UUID), NetworkId: ID(p.External.UUID), Address: AddrBytes(n.Address), RouterId: ID(n.Router.UUID),
		PortId: ID(n.PortID.UUID), Central: p.Central}
}

// ToNDPProxy is the reverse of FromNDPProxy.
func ToNDPProxy(m *NDPProxy) (NDPProxyParts, error) {
	var c check
	p := NDPProxyParts{Proxy: &model.NDPProxy{}, Central: m.Central}
	p.Proxy.ID.UUID = get(&c, "id", m.Id, ParseID)
	p.External.UUID = get(&c, "network_id", m.NetworkId, ParseID)
	p.Proxy.Router.UUID = get(&c, "router_id", m.RouterId, ParseID)
	p.Proxy.PortID.UUID = get(&c, "port_id", m.PortId, ParseID)
	p.Proxy.Address = get(&c, "address", m.Address, ParseAddr)
	if c.err == nil && !p.Proxy.Address.Is6() {
		c.err = fmt.Errorf("address: %s is not IPv6", p.Proxy.Address)
	}
	return p, c.err
}
