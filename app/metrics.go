package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/posture/score"
	"github.com/minewarden/minewarden/reports"
)

// An exporter works the metrics out when somebody scrapes: between scrapes they cost nothing.
type exporter struct {
	a        *Agent
	registry *prometheus.Registry
}

var _ console.Metrics = (*exporter)(nil)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("minewarden_"+name, help, labels, nil)
}

// The metrics, as packaging/grafana shows them.
var (
	descIncidents = desc("incidents", "Incidents by state and severity.", "state", "severity")
	descFindings  = desc("findings_total", "Findings by what became of them.", "result")
	descDetector  = desc("detector_findings_total", "Findings by detector.", "detector")
	descOff       = desc("detector_off", "1 for a detector that was switched off because it failed.", "detector")
	descSensor    = desc("sensor_running", "1 for a sensor that runs.", "sensor")
	descEvents    = desc("sensor_events_total", "Events by sensor.", "sensor")
	descDropped   = desc("sensor_dropped_total", "Events that were dropped because the pipeline was behind.", "sensor")
	descLost      = desc("events_lost_total", "Events that the kernel or a sensor lost before they were seen.")
	descUnsaved   = desc("incidents_unsaved", "Incidents that changed and are not on disk yet.")
	descStolen    = desc("stolen_cpu_seconds", "Processor time that incidents of this month used.")
	descStolenKWh = desc("stolen_kwh", "Energy that incidents of this month used, measured or modelled.")
	descPosture   = desc("posture_score", "Score of the newest audits, 0 to 100.")
	descAlerts    = desc("alerts", "Alerts by output and what became of them.", "output", "result")
	descAlertsOut = desc("alerts_dropped_total", "Alerts for which there was no room before they were kept.")
)

func newMetrics(a *Agent) (*exporter, error) {
	m := &exporter{a: a, registry: prometheus.NewRegistry()}
	info := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "minewarden_info", Help: "The agent.", ConstLabels: prometheus.Labels{"version": a.cfg.Version, "respond": string(a.cfg.Respond)},
	}, func() float64 { return 1 })
	err := errors.Join(m.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})), m.registry.Register(info), m.registry.Register(m))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return m, nil
}

// Metrics implements console.Metrics.
func (m *exporter) Metrics(context.Context) ([]byte, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// Describe implements prometheus.Collector: nothing, for what there is depends on the configuration.
func (m *exporter) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *exporter) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	total := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	counts, err := m.a.desk.Counts(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(descIncidents, err)
	}
	for _, state := range []minewarden.State{minewarden.Open, minewarden.Contained, minewarden.Closed} {
		for s := minewarden.Informational; s <= minewarden.Critical; s++ {
			gauge(descIncidents, float64(counts[state][s]), string(state), s.String())
		}
	}
	k := m.a.keeper.Stats()
	total(descFindings, k.Findings, "all")
	total(descFindings, k.Suppressed, "suppressed")
	total(descFindings, k.Repeats, "repeated")
	total(descFindings, k.Overflow, "overflow")
	gauge(descUnsaved, float64(k.Unsaved))
	health := m.a.runner.Health()
	total(descLost, health.Stats.Lost)
	for _, s := range health.Sensors {
		gauge(descSensor, flag(s.State == "running"), s.Name)
		total(descEvents, s.Events, s.Name)
		total(descDropped, s.Dropped, s.Name)
	}
	for _, d := range health.Detectors {
		total(descDetector, d.Findings, d.Name)
		gauge(descOff, flag(d.Off != ""), d.Name)
	}
	if stolen, err := (overview{m.a}).impact(ctx); err == nil {
		gauge(descStolen, stolen.CPUHours*3600)
		gauge(descStolenKWh, stolen.KWh)
	}
	if history, err := score.Load(m.a.cfg.Data); err == nil {
		latest, _ := score.Latest(history)
		if s, ok := score.Overall(latest); ok {
			gauge(descPosture, s)
		}
	}
	if all, err := m.a.alerts.Status(ctx); err == nil {
		for _, s := range all {
			for what, n := range map[string]int{"waiting": s.Waiting, "sent": s.Sent, "refused": s.Refused, "expired": s.Expired, "lost": s.Lost} {
				gauge(descAlerts, float64(n), s.Name, what)
			}
		}
	}
	dropped, _ := m.a.alerts.Dropped()
	total(descAlertsOut, dropped)
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// impact adds up what the incidents of this month cost, but for false alarms.
func (o overview) impact(ctx context.Context) (reports.Impact, error) {
	cfg := reports.DefaultConfig()
	if err := o.a.cfg.Part("reports", &cfg); err != nil {
		return reports.Impact{}, err
	}
	now := time.Now().UTC()
	begin := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	var all []minewarden.Impact
	for _, inc := range o.a.keeper.Costs() {
		if inc.Verdict != minewarden.FalsePositive && !inc.Impact.Until.Before(begin) {
			all = append(all, inc.Impact)
		}
	}
	return reports.ImpactOf(cfg.Prices, all...), ctx.Err()
}

// reportDesk makes reports of a desk's incidents.
type reportDesk struct{ a *Agent }

// Report implements console.Reports.
func (d reportDesk) Report(ctx context.Context, id, kind string) (reports.Report, error) {
	inc, err := d.a.desk.Incident(ctx, id)
	if err != nil {
		return nil, err
	}
	env, err := ReportEnv(d.a.cfg, d.a.cfg.Version)
	if err != nil {
		return nil, err
	}
	if kind == "review" {
		return reports.NewReview(&inc, env), nil
	}
	return reports.NewIncident(&inc, env), nil
}

// Made implements console.Reports.
func (d reportDesk) Made(ctx context.Context, id, kind string) error {
	inc, err := d.a.desk.Incident(ctx, id)
	if err != nil {
		return err
	}
	return d.a.books.reported(ctx, inc.ID, kind)
}

// Month implements console.Reports.
func (d reportDesk) Month(ctx context.Context, from time.Time) (reports.Report, error) {
	env, err := ReportEnv(d.a.cfg, d.a.cfg.Version)
	if err != nil {
		return nil, err
	}
	return MonthReport(ctx, d.a.desk, d.a.cfg, env, from, d.a.keeper.Stats().Suppressed)
}

// Impact implements console.Reports.
func (d reportDesk) Impact(ctx context.Context, id string) (reports.Impact, error) {
	inc, err := d.a.desk.Incident(ctx, id)
	if err != nil {
		return reports.Impact{}, err
	}
	cfg := reports.DefaultConfig()
	if err := d.a.cfg.Part("reports", &cfg); err != nil {
		return reports.Impact{}, err
	}
	return reports.ImpactOf(cfg.Prices, inc.Impact), nil
}
