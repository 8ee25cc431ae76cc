package attacks_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/store/storetest"
)

// due are the rows that the parts which exist must withstand.
const due = `
	A03 A06 A07 A10 A15 A19 A21 A22 A23 A25
	B01 B02 B05 B06 B08 B09 B10 B13 B14 B15
	C01 C02 C03 C04 C05 C09 C10
	E01 E02 E03 E04 E06 E08
	F02 F05 F06
	H01 H02 H03 H05
	I01 I02 I06
	J02 J03 J06`

// attacks are the rows that are tried, each against a deployment of its own.
func attacks() map[string]func(*testing.T, *world) {
	all := map[string]func(*testing.T, *world){}
	for _, group := range []map[string]func(*testing.T, *world){
		revocationAttacks, durabilityAttacks, escalationAttacks, tenantAttacks, leakAttacks,
		guessingAttacks, injectionAttacks, robustnessAttacks, raceAttacks,
	} {
		maps.Copy(all, group)
	}
	return all
}

func TestAttacks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, _ string) {
		for id, attack := range attacks() {
			t.Run(id, func(t *testing.T) {
				attack(t, newWorld(t, freshURL(t)))
			})
		}
	})
}

// freshURL returns an empty database of the kind that the subtest is for.
func freshURL(t *testing.T) string {
	t.Helper()
	if strings.Contains(t.Name(), "/SQLite/") {
		return storetest.SQLite(t)
	}
	return storetest.Postgres(t)
}

func TestEveryAttackThatIsDueIsTried(t *testing.T) {
	tried := slices.Sorted(maps.Keys(attacks()))
	for _, id := range strings.Fields(due) {
		if !slices.Contains(tried, id) {
			t.Errorf("row %s is due and nothing tries it", id)
		}
	}
	for _, id := range tried {
		if !slices.Contains(strings.Fields(due), id) {
			t.Errorf("row %s is tried and not in the list of what is due", id)
		}
	}
}
