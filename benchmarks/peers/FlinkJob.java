import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.producer.ProducerRecord;

/** The job of the benchmark on Apache Flink: heap state, a checkpoint a second, at-least-once to Kafka. */
public final class FlinkJob {
  static final int STATE_BYTES = 1024;
  static final int ENTRY_BYTES = 16;

  /** What the job reads of an event; a POJO, so that Flink serializes it field by field. */
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

  static final class Decode implements DeserializationSchema<Event> {
    private transient ObjectReader reader;

    @Override
    public void open(InitializationContext context) {
      reader = new ObjectMapper().readerFor(Event.class);
    }

    @Override
    public Event deserialize(byte[] json) throws IOException {
      return reader.readValue(json);
    }

    @Override
    public boolean isEndOfStream(Event event) {
      return false;
    }

    @Override
    public TypeInformation<Event> getProducedType() {
      return TypeInformation.of(Event.class);
    }
  }

  /** A score as JSON, keyed by its shopper. */
  static final class Encode implements KafkaRecordSerializationSchema<Score> {
    private final String topic;
    private transient ObjectWriter writer;

    Encode(String topic) {
      this.topic = topic;
    }

    @Override
    public void open(SerializationSchema.InitializationContext context, KafkaSinkContext sink) {
      writer = new ObjectMapper().writerFor(Score.class);
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(Score score, KafkaSinkContext context, Long timestamp) {
      try {
        byte[] json = writer.writeValueAsBytes(score);
        return new ProducerRecord<>(topic, score.user_id.getBytes(StandardCharsets.UTF_8), json);
      } catch (JsonProcessingException failure) {
        throw new UncheckedIOException(failure);
      }
    }
  }

  /** Keeps the last 64 entries of 16 bytes a shopper. */
  static final class Scoring extends KeyedProcessFunction<String, Event, Score> {
    private transient ValueState<byte[]> state;

    @Override
    public void open(OpenContext context) {
      state = getRuntimeContext().getState(
          new ValueStateDescriptor<>("ring", PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO));
    }

    @Override
    public void processElement(Event event, Context context, Collector<Score> out) throws Exception {
      byte[] before = state.value();
      byte[] after = new byte[STATE_BYTES];
      if (before != null) {
        System.arraycopy(before, ENTRY_BYTES, after, 0, STATE_BYTES - ENTRY_BYTES);
      }
      ByteBuffer.wrap(after, STATE_BYTES - ENTRY_BYTES, ENTRY_BYTES).putLong(event.ts).putLong(event.event_id.hashCode());
      state.update(after);
      Score score = new Score();
      score.user_id = event.user_id;
      score.event_id = event.event_id;
      score.event_type = event.type;
      score.event_time = event.ts;
      score.propensity = 0.5;
      score.model = "none";
      out.collect(score);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> given = System.getenv();
    String servers = given.get("BENCH_KAFKA");
    Configuration configuration = new Configuration();
    configuration.setString("state.backend.type", "hashmap");
    configuration.setString("execution.checkpointing.storage", "filesystem");
    configuration.setString("execution.checkpointing.dir", Path.of(given.get("BENCH_DIRECTORY")).toUri().toString());
    configuration.setString("pipeline.object-reuse", "true");
    configuration.setString("rest.bind-port", "0");
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(
        Integer.parseInt(given.get("BENCH_THREADS")), configuration);
    environment.enableCheckpointing(Long.parseLong(given.get("BENCH_COMMIT_MS")));

    KafkaSource<Event> events = KafkaSource.<Event>builder()
        .setBootstrapServers(servers)
        .setTopics(given.get("BENCH_EVENTS"))
        .setGroupId(given.get("BENCH_GROUP"))
        .setStartingOffsets(OffsetsInitializer.earliest())
        .setValueOnlyDeserializer(new Decode())
        .build();
    KafkaSink<Score> scores = KafkaSink.<Score>builder()
        .setBootstrapServers(servers)
        .setProperty("acks", "all")
        .setRecordSerializer(new Encode(given.get("BENCH_SCORES")))
        .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .build();

    environment.fromSource(events, WatermarkStrategy.noWatermarks(), "events")
        .keyBy(event -> event.user_id)
        .process(new Scoring())
        .sinkTo(scores);
    environment.execute("scores");
  }
}
