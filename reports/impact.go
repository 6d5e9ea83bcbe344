package reports

import (
	"time"

	"github.com/minewarden/minewarden"
)

// Impact is what incidents cost, with where each figure comes from.
type Impact struct {
	Measured   bool    `json:"measured"` // false: the processes ended before they were measured, or it is no process
	CPUHours   float64 `json:"cpu_hours"`
	Share      float64 `json:"share"`       // of all processor time of the machine while it went on, 0 to 1
	Stalled    float64 `json:"stalled"`     // part of that time in which others waited for a processor (PSI), 0 to 1
	KWh        float64 `json:"kwh"`         // above idle
	KWhSource  string  `json:"kwh_source"`  // "rapl" or "model"
	EnergyCost float64 `json:"energy_cost"` // in Prices.Currency
	CloudCost  float64 `json:"cloud_cost"`  // what the processor time would have cost if rented
	Prices     Prices  `json:"prices"`
}

// Sources of an energy figure.
const (
	FromRAPL  = "rapl"
	FromModel = "model"
)

// ImpactOf turns measurements into what they cost.
func ImpactOf(p Prices, all ...minewarden.Impact) Impact {
	out := Impact{Prices: p, KWhSource: FromRAPL}
	var cpu, wall, stalled, capacity float64
	modelled := false
	for _, i := range all {
		hours := i.CPU.Hours()
		cpu += hours
		wall += i.Measured.Hours()
		capacity += i.Measured.Hours() * float64(max(1, i.CPUs))
		stalled += i.Stalled.Hours()
		if i.Joules > 0 {
			out.KWh += i.Joules / 3.6e6
		} else if hours > 0 {
			out.KWh += hours * p.WattsPerCPU / 1000
			modelled = true
		}
	}
	if modelled || out.KWh == 0 {
		out.KWhSource = FromModel
	}
	out.CPUHours, out.Measured = cpu, cpu > 0
	if capacity > 0 {
		out.Share = min(1, cpu/capacity)
	}
	if wall > 0 {
		out.Stalled = min(1, stalled/wall)
	}
	out.EnergyCost, out.CloudCost = out.KWh*p.KWh, cpu*p.CPUHour
	return out
}

// Levels of functional impact, as CISA's form has them.
const (
	ImpactNone     = "none"
	ImpactLow      = "low"
	ImpactMedium   = "medium"
	ImpactHigh     = "high"
	ImpactNotKnown = "not_measured"
)

// functional judges by the time in which others waited: a machine that only ran warmer served everybody.
func (i Impact) functional() string {
	switch {
	case !i.Measured:
		return ImpactNotKnown
	case i.Stalled < 0.02:
		return ImpactNone
	case i.Stalled < 0.2:
		return ImpactLow
	case i.Stalled < 0.6:
		return ImpactMedium
	}
	return ImpactHigh
}

// started is when a process began; ok is false where that is not known.
func (e *Env) started(k minewarden.ProcessKey) (time.Time, bool) {
	if e.Booted.IsZero() || k.Boot != e.Boot {
		return time.Time{}, false
	}
	return e.Booted.Add(time.Duration(k.Start) * time.Second / minewarden.TicksPerSecond), true
}
