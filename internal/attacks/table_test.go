package attacks_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/store/storetest"
)

// due are the rows that the parts which exist must withstand.
const due = `
	A03 A04 A06 A07 A10 A11 A12 A15 A19 A21 A22 A23 A25 A29
	B01 B02 B04 B05 B06 B08 B09 B10 B13 B14 B15
	C01 C02 C03 C04 C05 C09 C10
	D01 D02 D03 D04 D05 D06 D07 D08 D09 D10 D11
	E01 E02 E03 E04 E05 E06 E08
	F01 F02 F03 F04 F05 F06 F07
	H01 H02 H03 H04 H05 H06 H09
	I01 I02 I03 I04 I06 I09
	J01 J02 J03 J06`

// attacks are the rows that are tried, each against a deployment of its own.
func attacks() map[string]func(*testing.T, *world) {
	all := map[string]func(*testing.T, *world){}
	for _, group := range []map[string]func(*testing.T, *world){
		revocationAttacks, durabilityAttacks, escalationAttacks, tenantAttacks, leakAttacks,
		guessingAttacks, injectionAttacks, robustnessAttacks, raceAttacks, peopleAttacks, outsideAttacks, doorAttacks, loadAttacks,
	} {
		maps.Copy(all, group)
	}
	return all
}

func TestAttacks(t *testing.T) {
	storetest.Above(t, func(t *testing.T, _ string) {
		for id, attack := range attacks() {
			t.Run(id, func(t *testing.T) {
				t.Parallel()
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

// inFile is the end of a cell that says what is tried: the file that tries it.
var inFile = regexp.MustCompile("\\(`([a-z_]+_test\\.go)`[^)]*\\)$")

func TestTheDocumentSaysOfEachAttackWhoFellToItWhatIsTriedAndWhenThatFails(t *testing.T) {
	rows := documented(t)
	for _, id := range strings.Fields(due) {
		if len(rows[id]) != 1 {
			t.Errorf("docs/attacks.md has %d rows for %s, want 1", len(rows[id]), id)
			continue
		}
		cells := rows[id][0]
		if len(cells) != 4 || slices.Contains(cells, "") {
			t.Errorf("docs/attacks.md, %s: %q, want a text in each of 4 columns", id, cells)
			continue
		}
		file := inFile.FindStringSubmatch(cells[2])
		if file == nil {
			t.Errorf("docs/attacks.md, %s: %q names no file", id, cells[2])
			continue
		}
		if text, err := os.ReadFile(file[1]); err != nil || !strings.Contains(string(text), `"`+id+`":`) {
			t.Errorf("docs/attacks.md, %s: it is not in %s (%v)", id, file[1], err)
		}
	}
	for id := range rows {
		if !slices.Contains(strings.Fields(due), id) {
			t.Errorf("docs/attacks.md has the row %s, which is not due", id)
		}
	}
}

var rowID = regexp.MustCompile(`^[A-Z][0-9]{2}$`)

// documented returns the rows of docs/attacks.md by their ids, each cut into cells.
func documented(t *testing.T) map[string][][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/attacks.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if rowID.MatchString(cells[0]) {
			rows[cells[0]] = append(rows[cells[0]], cells)
		}
	}
	return rows
}
