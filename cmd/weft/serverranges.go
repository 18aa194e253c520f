package main

import (
	"context"
	"time"
)

// syncSegmentRanges shows the configured ranges of segmentation ids as default ranges, as soon as the store takes them.
func (p *serverParts) syncSegmentRanges(ctx context.Context) error {
	for {
		_, err := p.writer.Do(ctx, "sync_segment_ranges", p.rules.SyncSegmentRanges)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		p.log.Warn("default segment ranges wait for the store", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Second):
		}
	}
}
