/* One use, one pin: redemption at an exposer (docs/wire.md, "Tickets") by RACERS identities that hold the same
 * ticket of USES uses, each over a finished channel of its own. Exposer and redeemers are killed at any step, the
 * ticket expires at any step, the operator takes a pin back at any step. Disks keep what was committed.
 * Each #ifdef takes one rule away, for the negative controls of `models/run`. */

#ifndef RACERS
#define RACERS 2
#endif
#ifndef USES
#define USES 1
#endif
#ifndef KILLS
#define KILLS 1
#endif

#define has(set, i) (((set) >> (i)) & 1)
#define with(set, i) ((set) | (1 << (i)))
#define without(set, i) ((set) & ~(1 << (i)))
#define size(set) (has(set, 0) + has(set, 1) + has(set, 2))

/* The queries: -DQUERY=NAME asks one of them, none asks all. ANSWERED is asked in each run: nobody waits for ever, which spin
 * reports as an invalid end state. */
#define ALL 0
#define ONE_PIN 1
#define WITH_PIN 2
#define REMOVED 3
#define GRANTED 4
#define RETRY 5
#define SPENT 6
#define ANSWERED 7
#ifndef QUERY
#define QUERY ALL
#endif
#define claim(query, holds) assert(!(QUERY == query || QUERY == ALL) || (holds))

mtype = { granted, already_redeemed, expired, unknown };

/* On the exposer's disk. */
byte redeemed, pinned;
/* The world: not read by the protocol but through its rules. */
bool is_expired;
byte removed;          /* whose pin the operator took back */
byte lives;            /* how often the exposer was started: a channel belongs to one life */
byte told;             /* who was ever told `granted` */

chan answers[RACERS] = [1] of { mtype, byte };
chan requests[RACERS] = [1] of { byte };

inline judge(i, verdict) {
	if
#ifdef EXPIRY_FIRST
	:: has(redeemed, i) && has(pinned, i) && is_expired -> verdict = expired
	:: has(redeemed, i) && has(pinned, i) && !is_expired -> verdict = granted
#elif defined(NOT_IDEMPOTENT)
#else
	:: has(redeemed, i) && has(pinned, i) -> verdict = granted
#endif
#ifndef NOT_IDEMPOTENT
	:: has(redeemed, i) && !has(pinned, i) -> verdict = unknown
	:: !has(redeemed, i) && size(redeemed) >= USES -> verdict = already_redeemed
	:: !has(redeemed, i) && size(redeemed) < USES && is_expired -> verdict = expired
	:: !has(redeemed, i) && size(redeemed) < USES && !is_expired -> verdict = granted
#else
	:: size(redeemed) >= USES -> verdict = already_redeemed
	:: size(redeemed) < USES && is_expired -> verdict = expired
	:: size(redeemed) < USES && !is_expired -> verdict = granted
#endif
	fi
}

inline consume(i, verdict) {
	if
	:: verdict == granted && !has(redeemed, i) -> redeemed = with(redeemed, i)
	:: else
	fi
}

inline pin(i, verdict, is_new) {
	if
	:: verdict == granted && is_new -> pinned = with(pinned, i)
	:: else
	fi
}

/* The worker `redeem`, as one redeemer's channel reaches it. A step of another life does not happen. */
#define alive (lives == life)

/* What a kill at this very step would leave on the disk. */
inline check_disk() {
	claim(ONE_PIN, size(redeemed) <= USES && size(pinned | removed) <= USES);
	claim(WITH_PIN, redeemed == (pinned | removed));
	claim(REMOVED, (pinned & removed) == 0)
}

proctype Worker(byte i) {
	byte life;
	mtype verdict;
	bool is_new;
end:
	do
	:: requests[i]?life ->
#if defined(READ_THEN_WRITE)
		atomic { if :: alive -> is_new = !has(redeemed, i); judge(i, verdict) :: else -> goto lost fi };
		atomic { if :: alive -> consume(i, verdict); pin(i, verdict, is_new); check_disk() :: else -> goto lost fi };
		atomic { if :: alive -> answers[i]!verdict, life :: else -> goto lost fi };
#elif defined(TWO_TRANSACTIONS)
		atomic { if :: alive -> is_new = !has(redeemed, i); judge(i, verdict); consume(i, verdict); check_disk() :: else -> goto lost fi };
		atomic { if :: alive -> pin(i, verdict, is_new); check_disk() :: else -> goto lost fi };
		atomic { if :: alive -> answers[i]!verdict, life :: else -> goto lost fi };
#elif defined(ANSWER_FIRST)
		atomic { if :: alive -> is_new = !has(redeemed, i); judge(i, verdict); answers[i]!verdict, life :: else -> goto lost fi };
		atomic { if :: alive -> consume(i, verdict); pin(i, verdict, is_new); check_disk() :: else -> goto lost fi };
#else
		atomic {
			if
			:: alive -> is_new = !has(redeemed, i); judge(i, verdict); consume(i, verdict); pin(i, verdict, is_new); check_disk()
			:: else -> goto lost
			fi
		};
		atomic { if :: alive -> answers[i]!verdict, life :: else -> goto lost fi };
#endif
lost:		atomic { verdict = 0; life = 0; is_new = false }
	od
}

/* `connect`: asks until it is answered, again when the channel dies, and once more after it was killed itself. */
proctype Redeemer(byte i) {
	byte life, of_life;
	mtype verdict;
	bool was_killed;
ask:
	atomic { life = lives; requests[i]!life };
	do
	:: atomic {
		answers[i]?verdict, of_life ->
		if
		:: of_life == life -> break
		:: else
		fi
	   }
#ifndef NO_RETRY
	:: lives != life -> goto ask
#endif
	od;
	atomic {
		if
		:: verdict == granted ->
			claim(GRANTED, has(pinned, i) || has(removed, i));
			told = with(told, i)
		:: else ->
			claim(RETRY, !has(told, i) || has(removed, i));
			claim(SPENT, !has(redeemed, i) || has(removed, i))
		fi;
		verdict = 0; of_life = 0
	};
	if
	:: !was_killed -> atomic { was_killed = true; goto ask }
	:: true
	fi
}

proctype Killer() {
	byte left = KILLS;
	do
	:: left > 0 -> atomic { lives++; left-- }
	:: break
	od
}

proctype Clock() { if :: is_expired = true :: true fi }

inline take_back(i) {
	pinned = without(pinned, i); removed = with(removed, i)
#ifdef REMOVAL_FORGETS
	; redeemed = without(redeemed, i)
#endif
}

proctype Operator() {
	if
	:: atomic { has(pinned, 0) -> take_back(0) }
	:: atomic { has(pinned, 1) -> take_back(1) }
	:: atomic { has(pinned, 2) -> take_back(2) }
	:: true
	fi
}

init {
	atomic {
		byte i;
		for (i : 0 .. RACERS - 1) { run Worker(i); run Redeemer(i) }
		run Killer(); run Clock(); run Operator()
	}
}
