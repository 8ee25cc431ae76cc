package store

import (
	"context"
	"fmt"
)

// TendUsage implements [iam.UsageStore].
func (s *Store) TendUsage(ctx context.Context) error {
	if err := s.endReporters(ctx); err != nil {
		return fmt.Errorf("end reporters whose process has ended: %w", err)
	}
	return nil
}
