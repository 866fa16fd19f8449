import com.espertech.esper.common.client.EPCompiled;
import com.espertech.esper.common.client.EventBean;
import com.espertech.esper.common.client.EventPropertyGetter;
import com.espertech.esper.common.client.EventSender;
import com.espertech.esper.common.client.configuration.Configuration;
import com.espertech.esper.common.client.util.EventUnderlyingType;
import com.espertech.esper.common.client.util.FilterServiceProfile;
import com.espertech.esper.compiler.client.CompilerArguments;
import com.espertech.esper.compiler.client.EPCompilerProvider;
import com.espertech.esper.runtime.client.EPDeployment;
import com.espertech.esper.runtime.client.EPRuntime;
import com.espertech.esper.runtime.client.EPRuntimeProvider;
import com.espertech.esper.runtime.client.EPStatement;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Esper with the rules of the engine's benchmark, over the same ticks, driven by bench/run.py.
 *
 *   EsperBench price_alert|price_cross|market TAPE.csv RULES.csv
 *
 * It loads the ticks into memory and the rules into Esper, prints "ready SECONDS" (compiling, deploying, adding the
 * rules) and obeys lines of its input:
 *   to N        sends ticks until it has sent N since its start, the tape again and again, each time a weekday later;
 *               prints "N NANOSECONDS", the CPU time of this thread meanwhile, so without Esper's garbage collection
 *   fires FILE  writes how often each rule has fired, a line for each; prints "N 0"
 *
 * RULES.csv: "symbol,threshold", for market "dev,size,change"; a rule's number is its line. One thread, no timer, no
 * locks, events made beforehand, rows as arrays: what makes Esper fastest here.
 */
public final class EsperBench {
    private static final long DAY_MS = 86_400_000;

    public static final class Tick {
        private final String symbol;
        private final double price;
        private final long size, first;
        private long ms;

        Tick(String symbol, double price, long size, long ms) {
            this.symbol = symbol;
            this.price = price;
            this.size = size;
            this.first = this.ms = ms;
        }

        public String getSymbol() { return symbol; }
        public double getPrice() { return price; }
        public long getSize() { return size; }
        public long getMs() { return ms; }
        public long getDayNo() { return ms / DAY_MS; }
    }

    public static final class PriceRule {
        private final int id;
        private final String symbol;
        private final double threshold;

        PriceRule(int id, String[] field) {
            this.id = id;
            this.symbol = field[0].intern();
            this.threshold = Double.parseDouble(field[1]);
        }

        public int getId() { return id; }
        public String getSymbol() { return symbol; }
        public double getThreshold() { return threshold; }
    }

    public static final class MarketRule {
        private final int id;
        private final double dev, change;
        private final long size;

        MarketRule(int id, String[] field) {
            this.id = id;
            this.dev = Double.parseDouble(field[0]);
            this.size = Long.parseLong(field[1]);
            this.change = Double.parseDouble(field[2]);
        }

        public int getId() { return id; }
        public double getDev() { return dev; }
        public long getSize() { return size; }
        public double getChange() { return change; }
    }

    /** A context partition for each rule: its filter goes into Esper's filter index. */
    private static final String PRICE_ALERT = """
        create context Rules initiated by PriceRule as r;
        @name('fires') context Rules select context.r.id as id
            from Tick(symbol = context.r.symbol and price > context.r.threshold);
        """;

    /** A rule is a row; a rise finds those that it passes over in an index of hash and tree. */
    private static final String PRICE_CROSS = """
        create objectarray schema Move(symbol string, price double, before double);
        create context BySymbol partition by symbol from Tick;
        context BySymbol insert into Move select symbol, price, prior(1, price) as before from Tick;
        create window Rules#keepall as PriceRule;
        create index Thresholds on Rules(symbol hash, threshold btree);
        insert into Rules select * from PriceRule;
        @name('fires') on Move(price > before) as m select r.id as id from Rules as r
            where r.symbol = m.symbol and r.threshold in [m.before : m.price);
        """;

    /** What the rules look at is derived once for all of them; their filters are on that. */
    private static final String MARKET = """
        create objectarray schema Dev(symbol string, price double, size long, ms long, dev double);
        create objectarray schema Derived(symbol string, size long, dev double, change double);
        create context BySymbol partition by symbol from Tick, symbol from Dev;
        context BySymbol insert into Dev select symbol, price, size, ms,
            case when count(*) >= 20 and first(dayNo) = dayNo then price / avg(price) - 1 end as dev from Tick#length(20);
        context BySymbol insert into Derived select symbol, size, dev, price / first(price) - 1 as change
            from Dev#ext_timed(ms, 60 sec);
        create context Rules initiated by MarketRule as r;
        @name('fires') context Rules select context.r.id as id
            from Derived(dev > context.r.dev and size > context.r.size and change > context.r.change);
        """;

    private final Tick[] tape;
    private final int[] fired;
    private final EventSender ticks;
    private long sent, shiftMs;

    private EsperBench(String kind, Tick[] tape, List<String> rules) throws Exception {
        boolean market = kind.equals("market");
        String epl = market ? MARKET : kind.equals("price_cross") ? PRICE_CROSS : PRICE_ALERT;
        Configuration c = new Configuration();
        c.getCommon().addEventType(Tick.class);
        c.getCommon().addEventType(PriceRule.class);
        c.getCommon().addEventType(MarketRule.class);
        c.getCommon().getEventMeta().setDefaultEventRepresentation(EventUnderlyingType.OBJECTARRAY);
        c.getRuntime().getThreading().setInternalTimerEnabled(false);
        c.getRuntime().getThreading().setListenerDispatchPreserveOrder(false);
        c.getRuntime().getThreading().setInsertIntoDispatchPreserveOrder(false);
        c.getRuntime().getThreading().setNamedWindowConsumerDispatchPreserveOrder(false);
        c.getRuntime().getExecution().setDisableLocking(true);
        c.getRuntime().getExecution().setFilterServiceProfile(FilterServiceProfile.READMOSTLY);
        EPRuntime runtime = EPRuntimeProvider.getRuntime("bench", c);
        EPCompiled compiled = EPCompilerProvider.getCompiler().compile(epl, new CompilerArguments(c));
        EPDeployment deployment = runtime.getDeploymentService().deploy(compiled);
        listen(runtime.getDeploymentService().getStatement(deployment.getDeploymentId(), "fires"));
        this.tape = tape;
        this.fired = new int[rules.size()];
        this.ticks = runtime.getEventService().getEventSender("Tick");
        EventSender adder = runtime.getEventService().getEventSender(market ? "MarketRule" : "PriceRule");
        for (int i = 0; i < fired.length; i++) {
            String[] field = rules.get(i).split(",");
            adder.sendEvent(market ? new MarketRule(i, field) : new PriceRule(i, field));
        }
    }

    private void listen(EPStatement statement) {
        EventPropertyGetter id = statement.getEventType().getGetter("id");
        statement.addListener((rows, removed, s, r) -> {
            for (EventBean row : rows)
                fired[(Integer) id.get(row)]++;
        });
    }

    /** Times are whole milliseconds on the tape; the day that follows is no Saturday or Sunday. */
    private void sendTo(long n) {
        int at = (int) (sent % tape.length);
        for (; sent < n; sent++) {
            Tick t = tape[at];
            t.ms = t.first + shiftMs;
            ticks.sendEvent(t);
            if (++at == tape.length) {
                at = 0;
                do
                    shiftMs += DAY_MS;
                while ((t.first / DAY_MS + shiftMs / DAY_MS + 4) % 7 % 6 == 0);
            }
        }
    }

    private static Tick[] readTape(Path csv) throws IOException {
        List<Tick> tape = new ArrayList<>();
        Map<String, String> names = new HashMap<>();
        try (BufferedReader in = Files.newBufferedReader(csv)) {
            in.readLine();
            for (String line; (line = in.readLine()) != null;) {
                String[] f = line.split(",");
                tape.add(new Tick(names.computeIfAbsent(f[1], String::intern), Double.parseDouble(f[2]),
                                  Long.parseLong(f[3]), Long.parseLong(f[0]) / 1_000_000));
            }
        }
        return tape.toArray(new Tick[0]);
    }

    private void writeFires(Path file) throws IOException {
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(file))) {
            for (int n : fired)
                out.println(n);
        }
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 3 || !List.of("price_alert", "price_cross", "market").contains(args[0])) {
            System.err.println("usage: EsperBench price_alert|price_cross|market TAPE.csv RULES.csv");
            System.exit(2);
        }
        Tick[] tape = readTape(Path.of(args[1]));
        List<String> rules = Files.readAllLines(Path.of(args[2]));
        long begun = System.nanoTime();
        EsperBench bench = new EsperBench(args[0], tape, rules);
        System.out.println("ready " + (System.nanoTime() - begun) / 1e9);
        ThreadMXBean clock = ManagementFactory.getThreadMXBean();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            String[] word = line.split(" ", 2);
            long from = clock.getCurrentThreadCpuTime();
            if (word[0].equals("to"))
                bench.sendTo(Long.parseLong(word[1]));
            else
                bench.writeFires(Path.of(word[1]));
            System.out.println(bench.sent + " " + (word[0].equals("to") ? clock.getCurrentThreadCpuTime() - from : 0));
        }
    }
}
