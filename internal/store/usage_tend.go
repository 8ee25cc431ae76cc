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
	if err := s.dropEnded(ctx); err != nil {
		return fmt.Errorf("drop reporters that are too many: %w", err)
	}
	if err := s.fold(ctx); err != nil {
		return fmt.Errorf("sum how keys were used: %w", err)
	}
	if err := s.drop(ctx); err != nil {
		return fmt.Errorf("drop what is old of how keys were used: %w", err)
	}
	return nil
}
