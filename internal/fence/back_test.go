package fence

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// crowd puts many keys into a database at once.
func (m *memory) crowd(many int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range many {
		var id [16]byte
		binary.BigEndian.PutUint64(id[8:], uint64(n)+1000)
		hash := token.Hash(sha256.Sum256(id[:]))
		m.keys[hash] = iam.KeyRecord{ID: iam.KeyID(iam.FormatID(iam.KeyPrefix, id)), Principal: "sa_sim", Name: fmt.Sprint("key ", n), Hash: hash}
	}
}

// BenchmarkBackWithAMillionKeys measures how long after its database's return a
// node answers whose row was removed meanwhile. It keeps what it has loaded.
func BenchmarkBackWithAMillionKeys(b *testing.B) {
	d := &deployment{memory: newMemory()}
	d.key = iam.KeyRecord{
		ID: iam.KeyID(iam.FormatID(iam.KeyPrefix, [16]byte{15: 1})), Principal: "sa_sim", Name: "one", Hash: token.NewSecret("one").Hash(),
	}
	d.commit(b, d.key)
	d.crowd(1_000_000)
	p := d.prepare(b, Options{TTL: time.Second})
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	defer running.Wait()
	defer cancel()
	begun := time.Now()
	p.until(b, true)
	b.ReportMetric(time.Since(begun).Seconds(), "s-first-load")
	var worst time.Duration
	for range 5 {
		p.door.fail(every, errCut)
		p.until(b, false)
		d.set(func() { clear(d.rows) })
		d.key.Paused = !d.key.Paused
		d.commit(b, d.key)
		p.door.fail(every, nil)
		begun := time.Now()
		p.until(b, true)
		worst = max(worst, time.Since(begun))
	}
	if loads := d.count("snapshot"); loads != 1 {
		b.Errorf("it loaded %d times, want only at the start", loads)
	}
	b.ReportMetric(worst.Seconds()*1000, "ms-back")
}

// until waits until a node answers, or answers no more, without asking it for a
// lease as a question would.
func (p *peer) until(b *testing.B, ready bool) {
	b.Helper()
	for end := time.Now().Add(time.Minute); (p.Ready() == nil) != ready; time.Sleep(time.Millisecond) { // a lease ends without a word
		if time.Now().After(end) {
			b.Fatalf("ready: %v", p.Ready())
		}
	}
}
