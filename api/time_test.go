package api_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/api"
)

var exactly = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)

// anyTime draws a time whose year in UTC has four digits, in any zone.
func anyTime(t *rapid.T) time.Time {
	first := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	nanos := rapid.OneOf(
		rapid.SampledFrom([]int64{0, 1, 999, 1_000, 100_000_000, 120_000_000, 999_999_000, 999_999_999}),
		rapid.Int64Range(0, 999_999_999),
	).Draw(t, "nanoseconds")
	zone := time.FixedZone("", rapid.IntRange(-23*60, 23*60).Draw(t, "minutes east")*60)
	return time.Unix(rapid.Int64Range(first, last).Draw(t, "seconds"), nanos).In(zone)
}

func TestTimeIsWrittenInOneShapeAndReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := anyTime(t)
		body, err := json.Marshal(api.Time{Time: at})
		if err != nil {
			t.Fatal(err)
		}
		text, err := api.Time{Time: at}.MarshalText()
		if err != nil || !exactly.Match(text) || string(body) != `"`+string(text)+`"` || (api.Time{Time: at}).String() != string(text) {
			t.Fatalf("%v: got %s, as text %s, %v; want one shape of both", at, body, text, err)
		}
		var back api.Time
		if err := json.Unmarshal(body, &back); err != nil {
			t.Fatal(err)
		}
		if want := api.NewTime(at); back != want || back.Location() != time.UTC {
			t.Fatalf("%s reads back as %v in %v, want %v in UTC", body, back, back.Location(), want)
		}
		if cut := at.Sub(back.Time); cut < 0 || cut >= time.Microsecond {
			t.Fatalf("%v reads back %v later, want what is below a microsecond cut off", at, -cut)
		}
	})
}

func TestTimeReadsWhatRFC3339Allows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := anyTime(t).Truncate(time.Microsecond)
		for _, zone := range []*time.Location{at.Location(), time.UTC} {
			if y := at.In(zone).Year(); y < 0 || y > 9999 {
				continue // RFC 3339 has no such year
			}
			text := at.In(zone).Format(time.RFC3339Nano)
			for _, text := range []string{text, strings.ToLower(text), strings.Replace(text, "-", `\u002d`, 1)} {
				var got api.Time
				if err := json.Unmarshal([]byte(`"`+text+`"`), &got); err != nil || got != api.NewTime(at) {
					t.Fatalf("%s: got %v, %v, want %v", text, got, err, at)
				}
			}
		}
	})
}

func TestWhatIsNoTimeIsRefusedAndNotTaken(t *testing.T) {
	was := api.NewTime(time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC))
	for _, body := range []string{
		`""`, `"2026-11-23"`, `"2026-11-23T03:00:00"`, `"2026-11-23 03:00:00Z"`, `"2026-02-30T00:00:00Z"`,
		`"2026-11-23T03:00:00+25:00"`, `1795402800`, `{}`, `true`,
	} {
		got := was
		if err := json.Unmarshal([]byte(body), &got); err == nil || got != was {
			t.Errorf("%s: got %v, %v, want an error and the time as it was", body, got, err)
		}
	}
	for _, year := range []int{-1, 10_000} {
		if body, err := json.Marshal(api.Time{Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}); err == nil {
			t.Errorf("year %d: got %s, want an error", year, body)
		}
	}
}

func TestTimeThatIsMissingIsNullAndZeroIsTheYearOne(t *testing.T) {
	body, err := json.Marshal(struct {
		Missing *api.Time `json:"missing"`
		Zero    api.Time  `json:"zero"`
		Left    api.Time  `json:"left,omitzero"`
	}{})
	if want := `{"missing":null,"zero":"0001-01-01T00:00:00.000000Z"}`; err != nil || string(body) != want {
		t.Errorf("got %s, %v, want %s", body, err, want)
	}
	var back struct{ Missing *api.Time }
	if err := json.Unmarshal([]byte(`{"missing":null}`), &back); err != nil || back.Missing != nil {
		t.Errorf("null reads as %v, %v, want nil", back.Missing, err)
	}
}
