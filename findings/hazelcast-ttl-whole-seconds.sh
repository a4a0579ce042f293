#!/usr/bin/env bash
# In Hazelcast 5.5.0 an entry put with a time to live of one second may be gone after a tenth of one.
#
# IMap takes times to live with a TimeUnit, but keeps the moment at which an entry expires in whole seconds, and cuts it off rather than
# rounding it up. What is put at 12:00:00.9 for 1,000 ms is due at 12:00:01.0, after 100 ms; for 1,999 ms at 12:00:02.0, after 1,100. A
# length of one millisecond is none: the entry is not there when put returns. So an entry lives up to one second less than was
# asked for, which matters for what lives few seconds: tokens, rate limits, idempotency keys.
#
# Needs a JDK 17 or later and Maven. Exits 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mvn -q -B dependency:copy -Dartifact=com.hazelcast:hazelcast:5.5.0 -DoutputDirectory="$dir/lib"

cat >Finding.java <<'JAVA'
import com.hazelcast.config.Config;
import com.hazelcast.core.Hazelcast;
import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.map.IMap;
import java.util.concurrent.TimeUnit;

public class Finding {
    // Waits until the wall clock stands at that millisecond of a second, or up to 20 behind it.
    static void align(int millisecond) throws InterruptedException {
        while (true) {
            long at = System.currentTimeMillis() % 1000;
            if (at >= millisecond && at < millisecond + 20) {
                return;
            }
            Thread.sleep(1);
        }
    }

    public static void main(String[] args) throws Exception {
        Config config = new Config();
        config.setProperty("hazelcast.phone.home.enabled", "false");
        config.setProperty("hazelcast.logging.type", "none");
        config.getNetworkConfig().getInterfaces().setEnabled(true).addInterface("127.0.0.1");
        config.getNetworkConfig().getJoin().getAutoDetectionConfig().setEnabled(false);
        HazelcastInstance member = Hazelcast.newHazelcastInstance(config);
        IMap<String, String> map = member.getMap("tokens");
        map.put("warm", "up");

        for (long ttl : new long[] {1, 1000, 1999, 2999}) {
            align(880);
            long begin = System.nanoTime();
            map.put("k" + ttl, "v", ttl, TimeUnit.MILLISECONDS);
            while (map.get("k" + ttl) != null) {
                Thread.sleep(1);
            }
            long lived = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
            System.out.printf("asked for %d ms, lived less than %d ms%n", ttl, (lived / 500 + 1) * 500);
        }
        member.shutdown();
        System.exit(0);
    }
}
JAVA

java -cp "lib/hazelcast-5.5.0.jar" Finding.java 2>/dev/null | grep '^asked' >got
cat >want <<'TEXT'
asked for 1 ms, lived less than 500 ms
asked for 1000 ms, lived less than 500 ms
asked for 1999 ms, lived less than 1500 ms
asked for 2999 ms, lived less than 2500 ms
TEXT
cat got
diff want got
