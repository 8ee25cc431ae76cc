package iam

import (
	"context"
	"errors"
	"testing"
	"time"
)

// counts is how often a workspace was counted, and what is found.
type counts struct {
	t     *testing.T
	of    *numbers
	times int
	found int64
	err   error
	begun func() // is called by who counts
}

func (c *counts) at(now time.Time) int64 {
	c.t.Helper()
	n, err := c.of.of(c.t.Context(), "ws_1", now, func(context.Context) (KeyNumbers, error) {
		c.times++
		if begun := c.begun; begun != nil {
			c.begun = nil
			begun()
		}
		return KeyNumbers{Active: c.found}, c.err
	})
	if !errors.Is(err, c.err) {
		c.t.Errorf("got %v, want %v", err, c.err)
	}
	return n.Active
}

func (c *counts) want(now time.Time, active int64, times int) {
	c.t.Helper()
	if got := c.at(now); got != active || c.times != times {
		c.t.Errorf("at %v: got %d keys, counted %d times in all; want %d, and %d times", now.Format(time.TimeOnly), got, c.times, active, times)
	}
}

func TestNumbersOfALargeWorkspaceAreRememberedForAWhile(t *testing.T) {
	now := time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)
	c := &counts{t: t, of: new(numbers), found: manyKeys}
	c.want(now, manyKeys, 1)
	c.found = manyKeys + 1
	c.want(now.Add(goodFor-time.Second), manyKeys, 1)
	c.begun = func() { c.want(now.Add(goodFor), manyKeys, 2) } // who comes meanwhile takes what there is
	c.want(now.Add(goodFor), manyKeys+1, 2)
	c.err = errors.New("no database")
	c.at(now.Add(2 * goodFor))
	c.err, c.found = nil, manyKeys+2
	c.want(now.Add(2*goodFor), manyKeys+2, 4)
}

func TestNumbersOfASmallWorkspaceAreThoseOfNow(t *testing.T) {
	now := time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)
	c := &counts{t: t, of: new(numbers), found: manyKeys - 1}
	c.want(now, manyKeys-1, 1)
	c.found = 3
	c.want(now, 3, 2)
	c.begun = func() { c.want(now, 3, 4) } // many at once
	c.want(now, 3, 4)
}
