import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * The twin: the measured topologies on Kafka Streams, tuned for throughput. One measurement per
 * process, one line of JSON on standard output.
 *
 * Arguments: {@code name=value}, as the measuring program passes them to either peer.
 */
public final class StreamsTwin {
    /** The records of one key, folded. */
    record Total(long instant, long count, long sum) {
        Total with(byte[] value) {
            return new Total(integer(value, 0), count + 1, sum + integer(value, 8));
        }
    }

    static final Serde<String> KEY = Serdes.String();
    static final Serde<byte[]> BYTES = Serdes.ByteArray();
    static final Serde<Total> TOTAL = Serdes.serdeFrom(
        (topic, total) -> total == null ? null : ByteBuffer.allocate(24)
            .putLong(total.instant()).putLong(total.count()).putLong(total.sum()).array(),
        (topic, bytes) -> bytes == null ? null
            : new Total(integer(bytes, 0), integer(bytes, 8), integer(bytes, 16)));

    static final LongAdder SEEN = new LongAdder();
    static volatile long firstNs = 0;

    static long integer(byte[] bytes, int at) {
        return ByteBuffer.wrap(bytes).getLong(at);
    }

    static byte[] doubled(byte[] value) {
        byte[] changed = value.clone();
        ByteBuffer.wrap(changed).putLong(8, integer(value, 8) * 2);
        return changed;
    }

    static void note() {
        if (firstNs == 0) firstNs = System.nanoTime();
        SEEN.increment();
    }

    static Topology topology(String workload, String input, String output) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, byte[]> source = builder.stream(input, Consumed.with(KEY, BYTES))
            .peek((key, value) -> note());
        switch (workload) {
            case "w1" -> source
                .mapValues(StreamsTwin::doubled)
                .filter((key, value) -> integer(value, 8) % 20 != 0)
                .to(output, Produced.with(KEY, BYTES));
            case "w2" -> source
                .groupByKey(Grouped.with(KEY, BYTES))
                .aggregate(() -> new Total(0, 0, 0), (key, value, total) -> total.with(value),
                    Materialized.<String, Total, KeyValueStore<Bytes, byte[]>>as("totals")
                        .withKeySerde(KEY).withValueSerde(TOTAL).withCachingDisabled())
                .toStream()
                .to(output, Produced.with(KEY, TOTAL));
            default -> throw new IllegalArgumentException(workload);
        }
        return builder.build();
    }

    static Properties settings(Map<String, String> job) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("application"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, job.get("dir"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, job.get("threads"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "100");
        settings.put("consumer.auto.offset.reset", "earliest");
        // What was found to raise its throughput on one machine; larger values change nothing.
        settings.put("consumer.max.poll.records", "10000");
        settings.put("buffered.records.per.partition", "10000");
        settings.put("producer.batch.size", Integer.toString(512 << 10));
        settings.put("consumer.max.partition.fetch.bytes", Integer.toString(8 << 20));
        settings.put("consumer.fetch.max.bytes", Integer.toString(50 << 20));
        return settings;
    }

    static Map<TopicPartition, Long> ends(Admin admin, String topic) throws Exception {
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        var description = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        description.partitions()
            .forEach(p -> asked.put(new TopicPartition(topic, p.partition()), OffsetSpec.latest()));
        Map<TopicPartition, Long> ends = new HashMap<>();
        admin.listOffsets(asked).all().get().forEach((p, info) -> ends.put(p, info.offset()));
        return ends;
    }

    static boolean allCommitted(Admin admin, String application, Map<TopicPartition, Long> ends)
            throws Exception {
        var committed = admin.listConsumerGroupOffsets(application)
            .partitionsToOffsetAndMetadata().get();
        return ends.entrySet().stream().allMatch(end -> {
            var offset = committed.get(end.getKey());
            return offset != null && offset.offset() >= end.getValue();
        });
    }

    static double cpuSeconds() throws Exception {
        String stat = Files.readString(Path.of("/proc/self/stat"));
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / 100.0;
    }

    static long memoryPeakBytes() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
        }
        throw new IllegalStateException("no VmHWM");
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> job = new HashMap<>();
        for (String argument : arguments) {
            String[] pair = argument.split("=", 2);
            job.put(pair[0], pair[1]);
        }
        long records = Long.parseLong(job.get("records"));
        String application = job.get("application");
        Topology topology = topology(job.get("workload"), job.get("input"), job.get("output"));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", job.get("bootstrap")))) {
            Map<TopicPartition, Long> ends = ends(admin, job.get("input"));
            KafkaStreams streams = new KafkaStreams(topology, settings(job));
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(3);
                return null;
            });
            long started = System.nanoTime();
            streams.start();
            while (firstNs == 0) Thread.sleep(1);
            double cpuBefore = cpuSeconds();
            while (SEEN.sum() < records) Thread.sleep(2);
            while (!allCommitted(admin, application, ends)) Thread.sleep(10);
            long ended = System.nanoTime();
            double cpuAfter = cpuSeconds();
            long memory = memoryPeakBytes();
            System.out.printf(Locale.ROOT,
                "{\"seconds\":%.4f,\"start_seconds\":%.4f,\"cpu_seconds\":%.2f,"
                    + "\"cpu_seconds_total\":%.2f,\"memory_peak_bytes\":%d}%n",
                (ended - firstNs) / 1e9, (firstNs - started) / 1e9, cpuAfter - cpuBefore,
                cpuAfter, memory);
            streams.close(Duration.ofSeconds(30));
        }
        System.exit(0);
    }
}
