package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// ErrNoNft is returned where nft(8) is not installed.
var ErrNoNft = errors.New("there is no nft on this host: install the package nftables")

// nftPatience is how long nft may take: a large ruleset takes a second.
const nftPatience = 30 * time.Second

// Nft has nft(8) carry out script, in one transaction: all of it or nothing.
func Nft(ns, script string) error {
	_, err := nft(ns, script, "-f", "-")
	if err != nil {
		return fmt.Errorf("load nftables ruleset: %w", err)
	}
	return nil
}

// NftTables lists the tables of a family ("ip", "ip6", "inet") as nft(8) prints them, without counters; "": there are none.
func NftTables(ns, family string) (string, error) {
	out, err := nft(ns, "", "--stateless", "list", "ruleset", family)
	if err != nil {
		return "", fmt.Errorf("list nftables ruleset: %w", err)
	}
	return out, nil
}

func nft(ns, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nftPatience)
	defer cancel()
	path, err := exec.LookPath("nft")
	if err != nil { // a daemon's PATH may be without it
		if path, err = exec.LookPath("/usr/sbin/nft"); err != nil {
			return "", ErrNoNft
		}
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var out, bad bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &bad
	err = InNetns(ns, cmd.Run)
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(bad.String()), "\n")
		return "", fmt.Errorf("nft: %w: %s", err, first)
	}
	return out.String(), nil
}
