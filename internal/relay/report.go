package relay

import (
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// ReportText returns a report as a verifier sends it.
func ReportText(r iam.UsageReport) api.ReportReplicaUse {
	text := api.ReportReplicaUse{Number: r.Number, Covers: timeText(r.Covers), Last: r.Last, Keys: make([]api.ReplicaUse, len(r.Keys))}
	for i, k := range r.Keys {
		use := api.ReplicaUse{
			Key: string(k.Key), Principal: string(k.Principal), Workspace: string(k.Workspace),
			LastOK: timeText(k.LastOK), LastRefused: timeText(k.LastRefused),
		}
		for _, p := range k.Minutes {
			use.Minutes = append(use.Minutes, api.UsagePoint{T: api.NewTime(p.At), OK: p.OK, Refused: p.Refused})
		}
		for _, s := range k.Sources {
			use.Sources = append(use.Sources, api.ReplicaUseSource{
				IP: s.IP, UserAgent: s.UserAgent, Others: s.Others, OK: s.OK, Refused: s.Refused,
				First: api.NewTime(s.First), Last: api.NewTime(s.Last), LastOK: timeText(s.LastOK),
			})
		}
		for _, a := range k.Asks {
			use.Asks = append(use.Asks, api.ReplicaUseAsk{Ask: a.Ask, Others: a.Others, Last: api.NewTime(a.Last), OK: a.OK, Refused: a.Refused})
		}
		text.Keys[i] = use
	}
	return text
}

// ReportOf returns the report that [ReportText] wrote, of a reporter.
func ReportOf(reporter string, text api.ReportReplicaUse) iam.UsageReport {
	r := iam.UsageReport{Reporter: reporter, Number: text.Number, Covers: timeOf(text.Covers), Last: text.Last}
	for _, u := range text.Keys {
		k := iam.KeyUse{
			Key: iam.KeyID(u.Key), Principal: iam.PrincipalID(u.Principal), Workspace: iam.WorkspaceID(u.Workspace),
			LastOK: timeOf(u.LastOK), LastRefused: timeOf(u.LastRefused),
		}
		for _, p := range u.Minutes {
			k.Minutes = append(k.Minutes, iam.UsePoint{At: p.T.UTC(), OK: p.OK, Refused: p.Refused})
		}
		for _, s := range u.Sources {
			k.Sources = append(k.Sources, iam.SourceUse{
				IP: s.IP, UserAgent: s.UserAgent, Others: s.Others, OK: s.OK, Refused: s.Refused,
				First: s.First.UTC(), Last: s.Last.UTC(), LastOK: timeOf(s.LastOK),
			})
		}
		for _, a := range u.Asks {
			k.Asks = append(k.Asks, iam.AskUse{Ask: a.Ask, Others: a.Others, Last: a.Last.UTC(), OK: a.OK, Refused: a.Refused})
		}
		r.Keys = append(r.Keys, k)
	}
	return r
}

func timeText(t time.Time) *api.Time {
	if t.IsZero() {
		return nil
	}
	return new(api.NewTime(t))
}

func timeOf(t *api.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
