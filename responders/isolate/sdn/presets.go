package sdn

// presets are what the controllers' own documentation says of their interfaces.
func presets() map[string]Requests {
	return map[string]Requests{
		// A controller with a plain list of rules.
		"generic": {
			Install: Request{
				Method: "POST", Path: "/api/v1/flow-rules",
				Body: `{"name":"{{.Name}}","priority":{{num .Vars.priority}},"match":{"{{if .V6}}ipv6_src{{else}}ipv4_src{{end}}":"{{.Prefix}}"},"action":"drop"}`,
			},
			Verify: Request{
				Method: "GET", Path: "/api/v1/flow-rules", ID: "id",
				Want: `{"name":"{{.Name}}","match":{"{{if .V6}}ipv6_src{{else}}ipv4_src{{end}}":"{{.Prefix}}"},"action":"drop"}`,
			},
			Release: Request{Method: "DELETE", Path: "/api/v1/flow-rules/{{.Rule}}"},
		},
		// ONOS 1.x and 2.x; vars: device, as of:0000000000000001. A flow is enforced when it is ADDED.
		"onos": {
			Install: Request{
				Method: "POST", Path: "/onos/v1/flows/{{.Vars.device}}?appId=org.minewarden.isolate",
				Body: `{"priority":{{num .Vars.priority}},"timeout":0,"isPermanent":true,"deviceId":"{{.Vars.device}}","tableId":{{num .Vars.table}},"treatment":{"instructions":[],"deferred":[]},` +
					`"selector":{"criteria":[{"type":"ETH_TYPE","ethType":"{{.EtherHex}}"},{"type":"{{if .V6}}IPV6_SRC{{else}}IPV4_SRC{{end}}","ip":"{{.Prefix}}"}]}}`,
			},
			Verify: Request{
				Method: "GET", Path: "/onos/v1/flows/{{.Vars.device}}", ID: "id",
				Want: `{"state":"ADDED","appId":"org.minewarden.isolate","priority":{{num .Vars.priority}},"treatment":{"instructions":[{"type":"NOACTION"}]},` +
					`"selector":{"criteria":[{"type":"ETH_TYPE","ethType":"{{.EtherHex}}"},{"type":"{{if .V6}}IPV6_SRC{{else}}IPV4_SRC{{end}}","ip":"{{.Prefix}}"}]}}`,
			},
			Release: Request{Method: "DELETE", Path: "/onos/v1/flows/{{.Vars.device}}/{{.Rule}}"},
		},
		// OpenDaylight with RFC 8040 (since Neon); vars: node, as openflow:1.
		"opendaylight": opendaylight("/rests/data/opendaylight-inventory:nodes/node={{.Vars.node}}/flow-node-inventory:table={{.Vars.table}}/flow={{.Name}}", "?content=config"),
		// OpenDaylight before that.
		"opendaylight-restconf": opendaylight("/restconf/config/opendaylight-inventory:nodes/node/{{.Vars.node}}/flow-node-inventory:table/{{.Vars.table}}/flow/{{.Name}}", ""),
		// Ryu with ofctl_rest; vars: dpid, in decimal.
		"ryu": {
			Install: Request{Method: "POST", Path: "/stats/flowentry/add", Body: ryuEntry(`,"hard_timeout":{{capped 65535 .Seconds}},"actions":[]`)},
			Verify: Request{
				Method: "GET", Path: "/stats/flow/{{.Vars.dpid}}",
				Want: `{"cookie":{{.Cookie}},"priority":{{num .Vars.priority}},"actions":[],"match":{"dl_type":{{.EtherType}},` + ryuSource + `}}`,
			},
			Release: Request{Method: "POST", Path: "/stats/flowentry/delete_strict", Body: ryuEntry("")},
		},
		// A policy that selects pods and allows them nothing; vars: namespace, label, value. The plug-in of the cluster enforces it.
		"kubernetes": {
			Once: true,
			Install: Request{
				Method: "POST", Path: "/apis/networking.k8s.io/v1/namespaces/{{.Vars.namespace}}/networkpolicies?fieldManager=minewarden",
				Body: `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"{{.Name}}","namespace":"{{.Vars.namespace}}"},"spec":{` + policySpec + `}}`,
			},
			Verify: Request{
				Method: "GET", Path: "/apis/networking.k8s.io/v1/namespaces/{{.Vars.namespace}}/networkpolicies",
				Want: `{"metadata":{"name":"{{.Name}}"},"spec":{` + policySpec + `,"ingress":null,"egress":null}}`,
			},
			Release: Request{Method: "DELETE", Path: "/apis/networking.k8s.io/v1/namespaces/{{.Vars.namespace}}/networkpolicies/{{.Name}}"},
		},
	}
}

const (
	ryuSource  = `"{{if .V6}}ipv6_src{{else}}nw_src{{end}}":"{{.Address}}"`
	policySpec = `"podSelector":{"matchLabels":{"{{.Vars.label}}":"{{.Vars.value}}"}},"policyTypes":["Ingress","Egress"]`
)

func ryuEntry(more string) string {
	return `{"dpid":{{num .Vars.dpid}},"cookie":{{.Cookie}},"table_id":{{num .Vars.table}},"priority":{{num .Vars.priority}},"match":{"dl_type":{{.EtherType}},` + ryuSource + `}` + more + `}`
}

func opendaylight(path, query string) Requests {
	source := `"match":{"ethernet-match":{"ethernet-type":{"type":{{.EtherType}}}},"{{if .V6}}ipv6-source{{else}}ipv4-source{{end}}":"{{.Prefix}}"},` +
		`"instructions":{"instruction":[{"order":0,"apply-actions":{"action":[{"order":0,"drop-action":{}}]}}]}`
	return Requests{
		Install: Request{
			Method: "PUT", Path: path,
			Body: `{"flow-node-inventory:flow":[{"id":"{{.Name}}","table_id":{{num .Vars.table}},"flow-name":"{{.Name}}","priority":{{num .Vars.priority}},"cookie":{{.Cookie}},"hard-timeout":{{capped 65535 .Seconds}},` + source + `}]}`,
		},
		Verify:  Request{Method: "GET", Path: path + query, Want: `{"id":"{{.Name}}","priority":{{num .Vars.priority}},` + source + `}`},
		Release: Request{Method: "DELETE", Path: path},
	}
}
