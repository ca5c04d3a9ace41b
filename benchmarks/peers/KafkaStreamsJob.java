import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorSupplier;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The job of the benchmark on Kafka Streams: a RocksDB store with cache and changelog, at-least-once. */
public final class KafkaStreamsJob {
  static final String STORE = "ring";
  static final int STATE_BYTES = 1024;
  static final int ENTRY_BYTES = 16;

  /** What the job reads of an event. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public static final class Event {
    public String user_id;
    public String event_id;
    public String type;
    public long ts;
  }

  /** What it writes. */
  public static final class Score {
    public String user_id;
    public String event_id;
    public String event_type;
    public long event_time;
    public double propensity;
    public String model;
  }

  /** Keeps the last 64 entries of 16 bytes a shopper. */
  static final class Scoring extends ContextualFixedKeyProcessor<String, byte[], byte[]> {
    private final ObjectReader reader = new ObjectMapper().readerFor(Event.class);
    private final ObjectWriter writer = new ObjectMapper().writerFor(Score.class);
    private KeyValueStore<String, byte[]> store;

    @Override
    public void init(FixedKeyProcessorContext<String, byte[]> context) {
      super.init(context);
      store = context.getStateStore(STORE);
    }

    @Override
    public void process(FixedKeyRecord<String, byte[]> record) {
      try {
        Event event = reader.readValue(record.value());
        byte[] before = store.get(record.key());
        byte[] after = new byte[STATE_BYTES];
        if (before != null) {
          System.arraycopy(before, ENTRY_BYTES, after, 0, STATE_BYTES - ENTRY_BYTES);
        }
        ByteBuffer.wrap(after, STATE_BYTES - ENTRY_BYTES, ENTRY_BYTES).putLong(event.ts).putLong(event.event_id.hashCode());
        store.put(record.key(), after);
        Score score = new Score();
        score.user_id = event.user_id;
        score.event_id = event.event_id;
        score.event_type = event.type;
        score.event_time = event.ts;
        score.propensity = 0.5;
        score.model = "none";
        context().forward(record.withValue(writer.writeValueAsBytes(score)));
      } catch (IOException failure) {
        throw new UncheckedIOException(failure);
      }
    }
  }

  public static void main(String[] arguments) {
    Map<String, String> given = System.getenv();
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, given.get("BENCH_GROUP"));
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("BENCH_KAFKA"));
    properties.put(StreamsConfig.STATE_DIR_CONFIG, given.get("BENCH_DIRECTORY"));
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, given.get("BENCH_THREADS"));
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, given.get("BENCH_COMMIT_MS"));
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
    properties.put(StreamsConfig.producerPrefix("acks"), "all");
    properties.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");

    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(Stores.keyValueStoreBuilder(
        Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.ByteArray()).withCachingEnabled());
    FixedKeyProcessorSupplier<String, byte[], byte[]> scoring = Scoring::new;
    builder.stream(given.get("BENCH_EVENTS"), Consumed.with(Serdes.String(), Serdes.ByteArray()))
        .processValues(scoring, STORE)
        .to(given.get("BENCH_SCORES"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
