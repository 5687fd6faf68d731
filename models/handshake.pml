/* The hybrid handshake (docs/wire.md, "Hybrid handshake") and the ticket in its first record, with a symbolic attacker.
 *
 * I, the initiator, holds a ticket of R; R, the responder, is the exposer. The attacker is the network and the relay, and
 * M besides: an identity that I also calls and that R also answers. It starts the ends' steps in any order and decides
 * what each receives. I begins two handshakes and R answers two: README.md says what that leaves out.
 *
 * Cryptography is perfect and stands here as what it binds. A chaining key is known to whoever knows everything mixed into
 * it; a sealed part is accepted if the attacker knows its key, or if the other end sealed it under the same key and the
 * same h. Keys only gain inputs, so an end takes a message either wholly from the attacker or wholly from an end: whoever
 * lacks one key of a message lacks all later ones, and whoever has an end's `ee` key and is not that end owns one half of it.
 *
 * -DNAME takes a check away or gives the attacker more; `models/run` lists what must hold and what must fail. */

#define SESSIONS 2
#define NONE 0

/* X25519 keys. Everyone knows the public halves of those that were sent; X is the attacker's own. */
#define E_I(s) (1 + (s))
#define E_R(t) (3 + (t))
#define S_I 5
#define S_R 6
#define X 7

/* Encapsulation keys: of session s of I, and the attacker's. Encapsulated secrets: by session t of R, and the attacker's. */
#define K_I(s) (1 + (s))
#define K_X 3
#define SS_R(t) (1 + (t))
#define SS_X 3

/* Identities; R_OLD is R's history without its last change, whose replaced key the attacker has. */
#define I 1
#define R 2
#define M 3
#define R_OLD 4

#define HYBRID 1
#define CLASSICAL 2

/* Who knows a private key now, and who will when the recording is attacked. */
#if defined(KCI_I)
#define stolen(k) ((k) == S_I)
#elif defined(KCI_R)
#define stolen(k) ((k) == S_R)
#else
#define stolen(k) false
#endif
#define has_private(k) ((k) == X || stolen(k))
#ifdef STATICS_LEAK
#define later_private(k) (has_private(k) || (k) == S_I || (k) == S_R)
#elif defined(X25519_BREAKS)
#define later_private(k) true
#else
#define later_private(k) has_private(k)
#endif

#define knows_dh(a, b) (has_private(a) || has_private(b))
#define later_dh(a, b) (later_private(a) || later_private(b))
#define knows_ss(x) ((x) == SS_X)
#ifdef MLKEM_BREAKS
#define later_ss(x, k) true
#else
#define later_ss(x, k) ((x) == SS_X || (k) == K_X)
#endif

/* What MixKey takes in; the controls leave one out. */
#ifdef NO_EE
#define ee(k) true
#else
#define ee(k) (k)
#endif
#ifdef NO_SS
#define kem(k) true
#else
#define kem(k) (k)
#endif
#ifdef NO_ES
#define es(k) true
#else
#define es(k) (k)
#endif
#ifdef NO_SE
#define se(k) true
#else
#define se(k) (k)
#endif

/* A session's view: its h, if complete, is a hash over exactly this. */
typedef View {
	byte suite, listener;
	byte e, e1;            /* message 1 */
	byte re, ss, rs;       /* message 2 */
	byte is;               /* message 3 */
	byte peer;             /* whom this end holds the other to be: I for its calls, before they begin */
	bool answered, done    /* message 2 sent, or accepted; the channel is open */
};
View ini[SESSIONS], res[SESSIONS];
bool knows_ticket;

#define of_classical(v) (v.suite == CLASSICAL)

/* Do both ends have the same h and the same key after message 2? MixHash(prologue) binds suite and listener:
 * of I the suite that it offered in message 1, whatever it goes on with. */
#ifdef NO_PROLOGUE
#define same_prologue(a, b) true
#else
#define same_prologue(a, b) (a.suite == b.suite && a.listener == b.listener)
#endif
#define same_two(a, b) (same_prologue(a, b) && a.e == b.e && a.re == b.re && a.rs == b.rs && \
	(a.e1 == b.e1 || of_classical(b)) && (kem(a.ss == b.ss) || of_classical(b)))
#define same_three(a, b) (same_two(a, b) && a.is == b.is)

/* Does the attacker know the key of message 2's last part; of message 3's, which is that of the channel? */
#define knows_two(v) (ee(knows_dh(v.e, v.re)) && (of_classical(v) || kem(knows_ss(v.ss) || v.e1 == K_X)) && es(knows_dh(v.e, v.rs)))
#define knows_three(v) (knows_two(v) && se(knows_dh(v.re, v.is)))
#define later_knows(v) (ee(later_dh(v.e, v.re)) && (of_classical(v) || kem(later_ss(v.ss, v.e1))) && \
	es(later_dh(v.e, v.rs)) && se(later_dh(v.re, v.is)))

/* Can the attacker show an attestation by `id` of static key `k`? It makes those of M and of R_OLD for any key. Honest ones are
 * public: R shows its own to anyone, I to M. */
#ifdef NO_SIGNATURE
#define attested(id, k) true
#else
#define attested(id, k) (id == M || id == R_OLD || (id == I && k == S_I) || (id == R && k == S_R))
#endif

/* Is the attested key the one of this handshake? */
#ifdef NO_BINDING
#define bound(attested_key, static_key) true
#else
#define bound(attested_key, static_key) (attested_key == static_key)
#endif

/* Does an end go on with whom it finds, where it called `peer`? R called nobody: whom it admits is decided by the ticket. */
#if defined(TICKET_TO_ANYBODY)
#define expected(id, peer) true
#elif defined(NO_MINIMUM)
#define expected(id, peer) (id == peer || peer == NONE || (id == R_OLD && peer == R))
#else
#define expected(id, peer) (id == peer || peer == NONE)
#endif

#define same_h(a, b) (a.suite == b.suite && a.listener == b.listener && a.e == b.e && a.e1 == b.e1 && \
	a.re == b.re && a.ss == b.ss && a.rs == b.rs)

/* The queries: -DQUERY=NAME asks one of them, none asks all. FINISHED is to fail: it says that no channel ever opens. */
#define ALL 0
#define SECRECY 1
#define AGREEMENT 2
#define SUITE 3
#define TICKET 4
#define PIN 5
#define FINISHED 6
#ifndef QUERY
#define QUERY ALL
#endif
#define asked(query) (QUERY == query || (QUERY == ALL && query != FINISHED))
#define claim(query, holds) assert(!asked(query) || (holds))

byte s, t, key, kem_key, secret, static_key, id, att_key, name;

inline forget() { s = 0; t = 0; key = 0; kem_key = 0; secret = 0; static_key = 0; id = 0; att_key = 0; name = 0 }

inline any_session(n) { if :: n = 0 :: n = 1 fi }

/* A public X25519 key that was sent by now. */
inline any_key(k) {
	if
	:: k = X :: k = S_I :: k = S_R
	:: ini[0].e != NONE -> k = E_I(0)
	:: ini[1].e != NONE -> k = E_I(1)
	:: res[0].re != NONE -> k = E_R(0)
	:: res[1].re != NONE -> k = E_R(1)
	fi
}

/* The static key and the attestation that the attacker shows: `id` for `att_key`, which the reader holds against `static_key`. */
inline any_identity(called) {
	if :: static_key = X :: static_key = S_I :: static_key = S_R fi;
	if :: id = I :: id = R :: id = M :: id = R_OLD fi;
	expected(id, called);
	if :: att_key = X :: att_key = S_I :: att_key = S_R fi;
	attested(id, att_key) && bound(att_key, static_key)
}

/* I: message 1, to R by a ticket or to M. */
inline begin() {
	if :: ini[0].e == NONE -> s = 0 :: ini[0].e != NONE && ini[1].e == NONE -> s = 1 fi;
	if :: ini[s].peer = R :: ini[s].peer = M fi;
	if :: ini[s].listener = 1 :: ini[s].listener = 2 fi;
	ini[s].suite = HYBRID; ini[s].e = E_I(s); ini[s].e1 = K_I(s); ini[s].is = S_I;
#ifdef TICKET_IN_MESSAGE_1
	if :: ini[s].peer == R -> knows_ticket = true :: else fi
#endif
}

/* R: message 1 in, at any listener and with any keys; message 2 out. */
inline answer() {
	if :: !res[0].answered -> t = 0 :: res[0].answered && !res[1].answered -> t = 1 fi;
	any_key(key);
	if :: name = 1 :: name = 2 fi;
	if
	:: kem_key = K_X
	:: ini[0].e != NONE -> kem_key = K_I(0)
	:: ini[1].e != NONE -> kem_key = K_I(1)
	fi;
	res[t].suite = HYBRID;
#ifdef NEGOTIATED
	if :: true :: res[t].suite = CLASSICAL; kem_key = NONE fi;
#endif
	res[t].listener = name; res[t].e = key; res[t].e1 = kem_key;
	res[t].re = E_R(t); res[t].rs = S_R; res[t].answered = true;
	if :: res[t].suite == HYBRID -> res[t].ss = SS_R(t) :: else fi
}

/* What I asserts when it sends the first record, the ticket, to R. */
inline opened_by_i() {
	claim(SECRECY, !later_knows(ini[s]));
	claim(SUITE, ini[s].suite == HYBRID);
	claim(AGREEMENT, (res[0].answered && same_h(ini[s], res[0])) || (res[1].answered && same_h(ini[s], res[1])))
}
/* I: message 2 in, from the attacker or a session of R; checks; message 3 and the first record out. */
inline accept_two() {
	any_session(s);
	ini[s].e != NONE && !ini[s].done;
	if
	:: any_key(key);
	   ee(knows_dh(ini[s].e, key));
	   any_identity(ini[s].peer);
	   if :: secret = SS_X :: res[0].answered && res[0].e1 == K_I(s) -> secret = SS_R(0) :: res[1].answered && res[1].e1 == K_I(s) -> secret = SS_R(1) fi;
	   ini[s].re = key; ini[s].ss = secret; ini[s].rs = static_key;
#ifdef NEGOTIATED
	   if :: true :: ini[s].suite = CLASSICAL; ini[s].e1 = NONE; ini[s].ss = NONE fi;
#endif
	   knows_two(ini[s])
	:: any_session(t); res[t].answered;
	   ini[s].re = res[t].re; ini[s].ss = res[t].ss; ini[s].rs = res[t].rs; id = R;
#ifdef NEGOTIATED
#ifdef NO_PROLOGUE
	   ini[s].suite = res[t].suite;
	   if :: of_classical(res[t]) -> ini[s].e1 = NONE :: else fi;
#endif
#endif
	   same_two(ini[s], res[t])
	fi;
	expected(id, ini[s].peer);
	ini[s].answered = true; ini[s].done = true;
	if
	:: ini[s].peer == R ->
#ifndef KCI_R
		if :: knows_three(ini[s]) -> knows_ticket = true :: else fi;
		claim(TICKET, !knows_ticket);
		opened_by_i();
#endif
		skip
	:: else
	fi
}

/* What R asserts when its channel is open and the peer is I. */
inline opened_by_r() {
	claim(SECRECY, !later_knows(res[t]));
	claim(SUITE, res[t].suite == HYBRID);
	claim(AGREEMENT, (ini[0].done && ini[0].peer == R && same_h(ini[0], res[t]) && ini[0].is == res[t].is) ||
		(ini[1].done && ini[1].peer == R && same_h(ini[1], res[t]) && ini[1].is == res[t].is));
	claim(AGREEMENT, !(res[1 - t].done && res[1 - t].peer == I && same_h(res[1 - t], res[t])))  /* and with one session only */
}

/* R: message 3 in, from the attacker or a session of I; checks; then the ticket, if the peer has it. */
inline accept_three() {
	any_session(t);
	res[t].answered && !res[t].done;
	if
	:: knows_two(res[t]); any_identity(NONE); res[t].is = static_key; knows_three(res[t])
	:: any_session(s); ini[s].done; res[t].is = ini[s].is; id = I; same_three(ini[s], res[t])
	fi;
	id != R_OLD && id != R;
	res[t].peer = id; res[t].done = true;
	claim(PIN, !(id == M && knows_ticket));
#ifndef KCI_I
	if :: id == I -> opened_by_r(); claim(FINISHED, false) :: else fi
#endif
}

active proctype Attacker() {
end:	do
	:: atomic { begin(); forget() }
	:: atomic { answer(); forget() }
	:: atomic { accept_two(); forget() }
	:: atomic { accept_three(); forget() }
	od
}
