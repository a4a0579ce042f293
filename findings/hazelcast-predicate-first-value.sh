#!/usr/bin/env bash
# A Hazelcast 5.5.0 predicate takes the type of its literal from the first value that it meets, so which entries match depends on the others.
#
# Two maps of two JSON values each, {"x":1} and {"x":"1"}; in the second map they have changed keys. In both, `x = 1` and `x = '1'` find
# whatever stands under the key that is visited first, the number in one map and the string in the other, and never both. `x > 0`
# finds number and string if the number comes first, and ends in a ClassCastException for the whole query if the string does. LIKE fails in both.
# One document with another type in a field, stored by anybody, changes or ends the queries of all.
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
import com.hazelcast.core.HazelcastJsonValue;
import com.hazelcast.map.IMap;
import com.hazelcast.query.Predicates;
import java.util.TreeSet;

public class Finding {
    public static void main(String[] args) {
        Config config = new Config();
        config.setProperty("hazelcast.phone.home.enabled", "false");
        config.setProperty("hazelcast.logging.type", "none");
        config.setProperty("hazelcast.partition.count", "1"); // one order in which entries are met
        config.getNetworkConfig().getInterfaces().setEnabled(true).addInterface("127.0.0.1");
        config.getNetworkConfig().getJoin().getAutoDetectionConfig().setEnabled(false);
        HazelcastInstance member = Hazelcast.newHazelcastInstance(config);
        for (String[] values : new String[][] {{"1", "\"1\""}, {"\"1\"", "1"}}) {
            IMap<String, Object> map = member.getMap("documents " + values[0]);
            map.put("a", new HazelcastJsonValue("{\"x\":" + values[0] + "}"));
            map.put("b", new HazelcastJsonValue("{\"x\":" + values[1] + "}"));
            for (String text : new String[] {"x = 1", "x = '1'", "x IN (1)", "x > 0", "NOT (x = 1)", "x LIKE '1%'"}) {
                String found;
                try {
                    found = new TreeSet<>(map.keySet(Predicates.sql(text))).toString();
                } catch (RuntimeException e) {
                    found = e.getClass().getSimpleName();
                }
                System.out.println("a is " + values[0] + ", b is " + values[1] + ", " + text + ": " + found);
            }
        }
        member.shutdown();
        System.exit(0);
    }
}
JAVA

java -cp "lib/hazelcast-5.5.0.jar" Finding.java 2>/dev/null | grep '^a is' >got
cat >want <<'TEXT'
a is 1, b is "1", x = 1: [a]
a is 1, b is "1", x = '1': [a]
a is 1, b is "1", x IN (1): [a]
a is 1, b is "1", x > 0: [a, b]
a is 1, b is "1", NOT (x = 1): [b]
a is 1, b is "1", x LIKE '1%': ClassCastException
a is "1", b is 1, x = 1: [a]
a is "1", b is 1, x = '1': [a]
a is "1", b is 1, x IN (1): [a]
a is "1", b is 1, x > 0: ClassCastException
a is "1", b is 1, NOT (x = 1): [b]
a is "1", b is 1, x LIKE '1%': ClassCastException
TEXT
cat got
diff want got
