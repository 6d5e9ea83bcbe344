package stratum

// browser judges the messages of miners in web pages, which name their type and not a method.
func (t *talk) browser(params at) (verdict, bool) {
	m, s := t.m, t.s
	if who := m.field(0, "identifier"); who != nil {
		switch string(who) {
		case "handshake":
			if m.get(0, "pool") != nowhere || m.get(0, "login") != nowhere && m.get(0, "userid") != nowhere {
				s.dialect = dialectWebMiner
				s.login(m.field(0, "login"))
				return login, true
			}
		case "job":
			if t.job(0) == job {
				s.dialect = dialectWebMiner
				return job, false
			}
		case "solved":
			if isHex(m.field(0, "nonce"), 8, 16) && isHex(m.field(0, "result"), 64, 64) {
				s.dialect = dialectWebMiner
				return submit, true
			}
		}
		return nothing, true
	}
	switch string(m.field(0, "type")) {
	case "auth":
		if key := m.field(params, "site_key"); key != nil {
			s.dialect = dialectBrowser
			s.login(key)
			return login, true
		}
	case "authed":
		if m.get(params, "token") != nowhere && m.get(params, "hashes") != nowhere {
			s.dialect = dialectBrowser
			return session_, false
		}
	case "hash_accepted":
		if m.get(params, "hashes") != nowhere {
			s.dialect = dialectBrowser
			s.answerOldest(t.ev.Time, true)
			return session_, false
		}
	case "job":
		if t.job(params) == job {
			s.dialect = dialectBrowser
			return job, false
		}
	case "submit":
		if v, up := t.submitCall(params); v == submit {
			s.dialect = dialectBrowser
			return v, up
		}
	}
	return nothing, true
}
