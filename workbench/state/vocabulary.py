"""
The words that an error may be told in: everything else that it says may be a person's.

All in lower case and in ASCII. Given names are left out where they can be spared, so that some
words are missing that one would look for: ``memory``, ``will`` and ``mark`` are names of people.
Plain data: no functions and no state.
"""

from typing import Final

__all__ = ["GRAMMAR", "MEASURES", "PLAIN"]

GRAMMAR: Final = frozenset(
    """
    a about again all already also although am an and another any are aren't around as at be because
    been before being below between both but by can can't cannot could couldn't did didn't do does
    doesn't doing don't down during each either else elsewhere enough even every everywhere few
    fewer for from had hadn't has hasn't have haven't having here how i if in instead into is isn't
    it its itself just later least less like many me more most much must my neither no non none nor
    not nothing now of off on once one only onto or other others otherwise our out over own per
    rather should since so some somebody something still such than that that's the their them then
    there therefore these they this those though through thus to together too under until up upon us
    very was wasn't we were weren't what whatever when where whether which while who whom whose why
    with within without would wouldn't yet you your
    """.split()  # noqa: SIM905  (a thousand words are read better so)
)
"""Words that hold a sentence together, and say nothing by themselves."""

PLAIN: Final = frozenset(
    """
    able abort aborted above absent absolute accept acceptable accepted access accessor accessors
    account accounted accounts acl acquire acquired action actions active actor actual actually
    adapter add added additional address addresses admin adopt adopted after agent ago alias alive
    allow allowed allows alone alphabetic ambiguous amount amounts answer answered answers aof api
    app appear append applied apply appropriate approve approved arg args argument arguments array
    ascii ask asked assert assertion assign async asynchronous asyncio atomic attach attempt
    attempts attribute attributes auth authenticate authenticated authentication authorization
    authorize authorized auto available await awaited aware back backend background backoff bad
    balance base based basic batch bearer become began begin begins begun behind better binary bind
    bit bits block blocked blocking body bool boolean bot bound brace bracket break breaker broke
    broken bucket buffer bug build builtin busy button byte bytearray bytes cache cached calculate
    call callable callback called caller calls cancel canceled cancelled capacity case cast catch
    caught cause caused caveat certfile certificate chain change changed changes channel channels
    char character characters charge check checked checks checksum child choice choose chosen chunk
    circuit circular class classes clean clear cleared client clients clock close closed closes
    closing cluster clusterdown cmd code codec codes coerce collection column combination comma
    command commands commit common compare complete completed component components compress
    compressed compression computed condition config configuration configure configured confirm
    confirmation confirmed conflict conflicting conflicts connect connected connecting connection
    connections consistent constraint constructor contain contained contains content contents
    context continue control conversation conversations conversion convert converted copied copy
    core coroutine coroutines corrupt corrupted cost count counted counter counterparty counts cpu
    crash crashed create created creating creation credential credentials credex crossslot currency
    current currently cursor cycle daemon daily damaged dashboard data database databases dataclass
    date dates datetime day days db dead deadline deadlock debit debug decimal declare decline
    declined decode decoded decoder decoding deep deeper default defaults deferred define defined
    definition delay delayed delete deleted deletion delimiter deliver delivered delivery denied
    denom denomination deny depend dependency deploy deployment deprecated depth descriptor
    deserialize destination detached detail details detect detected determine device dict dictionary
    dicts differ different digest digit digits dimension dir direct directly directory disabled
    disconnect disconnected disk dispatch display division dns document documented documents domain
    done double download driver drop dropped due dump duplicate duplicated duration earlier edit
    edited edits elapsed element elements email empty enable enabled encode encoded encoder encoding
    encountered end ended endpoint ends engine enter entered entries entry enum env environment eof
    equal err errno error errors escape etc eval event events evicted evicting eviction evicts exact
    exactly exceed exceeded exceeds except exception exclusion exclusive exec execabort execute
    executed executing execution exhausted exist existed existing exists exit exited expect
    expectation expected expecting expire expired expires expiring expiry explicit export expression
    extend extension external extra factory fail failed failing failover fails failure failures
    fallback false far fast fatal fatally fault fcall fee fees fetch fetched fewer field fields file
    filename files filter final find finish finished finite first firstname fits flag flags flight
    float floating flow flows flush follow followed following follows forbidden force forced foreign
    fork forked form format formatted found fraction fragment frame free frequency full fully
    function functions further gap gateway gather gave generate generated generator generic get
    getter give giving global gone good got graceful greater greeting group groups guard guarded
    half handle handled handler handlers handles handshake hash hashable head header headers health
    healthy heartbeat held help hex hidden high higher hint hiredis history hit hold holds hook host
    hostname hosts hour hours http https human id identical identifier identifiers identify identity
    idle ids ignore ignored illegal immutable implement implementation implemented import imported
    impossible inactive incoming incompatible incomplete inconsistent incorrect increase increment
    indent index indices inf infinite infinity info information inherit init initial initialize
    initialized inner input inputs insert inside installed instance instances instantiated
    insufficient int integer integers integrity intended interface internal internet interpreter
    interrupt interrupted interval invalid invoice invoke io ip iso isoformat isolation issue item
    items iterable iteration iterator join joined json jwt keep keeps kept key keyerror keyfile keys
    keyword kill killed kind kinds know known kwargs label language large larger largest last
    lastname latency latest launch layer layout leader leak leap leave ledger left length letter
    letters level levels library limit limited limits line lines link list listed listen listening
    lists literal live load loaded loader loading local locale localhost locate location lock locked
    log logged logger logging login logout logs long longer look lookup loop lost low lower machine
    mail main maintained maintenance make makes malformed malloc manager managers mandatory manual
    map mapping maps margin mask masterdown match matched matches matching maximum maxmemory mean
    meaningful meanwhile measure mebibyte member members memberships menu merge merged message
    messages met metadata metric microsecond microseconds middle middleware migrate migrated
    migration milliseconds minimum minus minute minutes misconf mismatch missed missing mock mode
    model modified modify module modules moment monitor month monthly move moved multi multiple
    mutable mutex mutually naive name named names namespace native near need needed needs negative
    nested network new newer newest newline newlines next noauth node nodes nogroup nonce noperm
    noreplicas normal noscript noted notification notifications notify null num number numbers
    numeric object objects obsolete obtain occurred occurs octal offer offered offers offline offset
    ok old older omitted onboard onboarding oom open opened opening operand operation operations
    operator optimistic option optional options order ordered origin original os outcome outer
    outgoing outpaced outside overcommit overflow overlap overload overridden override oversized
    overwrite overwritten owner package packet page pair pairs parallel parameter parameters parent
    parse parsed parser parsing part partial partially partition parts pass passed passing password
    passwords path paths pattern pause paused pay payable payee payer payload payment payments
    pending percent permanent permission permissions permitted persist persistence persistent person
    phase phone picture ping pipeline place placeholder places plain platform please pointer policy
    poll pool port position positional positive possible possibly post precision prefix prepare
    prepared present preset prevent previous previously primary print printed priority private probe
    problem process processed processes processing produce product profile program prohibited prompt
    propagate property proposed protected protocol provide provided provider proxy public publish
    pubsub pull push put python quarantine query queue queued quota quote quoted quotes race races
    raise raised random range rate raw reach reached read readable reader reading readonly reads
    ready real realistic really rebuild receipt receive received receiver recent recipient
    recognized recommended reconnect record recorded records recover recovered recovery recursion
    recursive redact redacted redirect redirected redis rediss reduce reentrant refer reference
    referenced refresh refreshed refund refuse refused refuses region register registered registry
    regular reject rejected related relation relative release released reload relogin remain
    remaining remains remote remove removed rename renew repair repeat repeated replace replaced
    replica replicas replication replied reply report reported request requested requests require
    required requires reserved reset resolve resolved resource resources response responses restart
    restarted restore restored result results resumed retried retries retry retryable return
    returned returns reuse revert revision revoked rewrite right role rollback root round route
    router row rows rule rules run running runs runtime runtimeerror safe same sample save saved
    schema schemas scheme scope screen script search second secondary seconds secret section secured
    security see seek seen segment select selected selection self semaphore send sender sending
    sends sent sentinel separator sequence serial serialize serialized server servers service
    services session sessions set setting settings setup several shape shard shared shell short
    shortly show shown shut shutdown side signal signals signature signed silent similar simple
    single size sizes skip skipped slave sleep slice slot slots slow small snapshot sock socket
    sockets software sort sorted source space spaces special specific specification specified
    specifies specify split ssl stack stage stale stamp stand standard stands start started starting
    starts startup state stated statement states static station stats status statuscode stay step
    steps stop stopped storage store stored stores str strategy stream strict string strings strip
    structure stuck style subclass subject submitted subscribe subscript subscriptable subscription
    subsequent substring succeed succeeded successful successfully suffix sum summary superseded
    supplied support supported suspended swap switch symbol sync synchronous syntax sys system table
    tag tail take taken takes target task taskgroup tasks tcp template temporarily temporary
    terminal terminated test text thread threads threshold throttle throttled throw ticket tier time
    timed timedelta timeout timeouterror timeouts times timestamp timestamps timezone tls token
    tokens took tool top topic topology total touch traceback track traffic trailing transaction
    transactional transactions transfer transferred transient transition transport tree tried tries
    trigger true truncate truncated trusted try tryagain trying ttl tuple turn twice type typed
    types tzinfo unable unacceptable unauthorized unavailability unavailable unblocked unbound
    unchanged unclosed unconverted undefined underflow unexpected unexpectedly unhandled unhashable
    unhealthy unicode unit unix unixtime unknowable unknown unlink unlock unlocked unordered unpack
    unpaid unparsable unprocessable unreachable unreadable unrecognized unresolved unsafe unsecured
    unset unsupported unterminated untrusted unusable unused unwatch update updated updates upgrade
    upload upper upstream uri url usable usage use used user username users uses using usual utc utf
    uuid valid validate validated validation validator value valueerror values vanished variable
    vault verb verbose verified verifier verify version versions via view violated violation virtual
    visible void volatile wait waited waiting wakeup wallet want warning watch watched way webhook
    week weekday weekly weight weird whatsapp whole wide width window wire work worker workers
    working works world wrap wrapped writable write writer writers writes writing written wrong
    wrongtype wrote year yield zero zone
    """.split()  # noqa: SIM905  (a thousand words are read better so)
)
"""Words of programs, of Redis and of payments, in which errors are written."""

MEASURES: Final = frozenset(
    "ms s us ns bytes kb mb gb kib mib gib times tries attempts retries races levels".split()  # noqa: SIM905
)
"""What a number counts that is no person's."""
