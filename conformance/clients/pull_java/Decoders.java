import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdInputStream;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.zip.GZIPInputStream;
import okhttp3.OkHttpClient;
import okhttp3.Request;

/** What Java reads of a target's answers: the bodies at URL/gzip and URL/zstd in every way that its users read bodies. */
final class Decoders {
  private static String url;

  public static void main(String[] args) throws Exception {
    url = args[0];
    byte[] gzip = get("gzip", BodyHandlers.ofByteArray());
    byte[] zstd = get("zstd", BodyHandlers.ofByteArray());
    Map<String, Callable<byte[]>> ways = new LinkedHashMap<>();
    ways.put("GZIPInputStream", () -> new GZIPInputStream(new ByteArrayInputStream(gzip)).readAllBytes());
    ways.put("HttpClient, GZIPInputStream",
        () -> new GZIPInputStream(get("gzip", BodyHandlers.ofInputStream())).readAllBytes());
    ways.put("HttpURLConnection, GZIPInputStream", () -> {
      HttpURLConnection connection = (HttpURLConnection) URI.create(url + "/gzip").toURL().openConnection();
      connection.setRequestProperty("Accept-Encoding", "gzip");
      try (InputStream body = connection.getInputStream()) {
        return new GZIPInputStream(body).readAllBytes();
      }
    });
    // Asks for gzip by itself, and unpacks what it gets.
    ways.put("OkHttp, gzip", () -> {
      OkHttpClient client = new OkHttpClient();
      try (okhttp3.Response answer = client.newCall(new Request.Builder().url(url + "/gzip").build()).execute()) {
        return answer.body().bytes();
      }
    });
    ways.put("zstd-jni, ZstdInputStream",
        () -> new ZstdInputStream(new ByteArrayInputStream(zstd)).readAllBytes());
    ways.put("zstd-jni, HttpClient",
        () -> new ZstdInputStream(get("zstd", BodyHandlers.ofInputStream())).readAllBytes());
    ways.put("zstd-jni, Zstd.decompress of getFrameContentSize",
        () -> Zstd.decompress(zstd, (int) Zstd.getFrameContentSize(zstd)));
    ways.put("aircompressor, ZstdInputStream",
        () -> new io.airlift.compress.zstd.ZstdInputStream(new ByteArrayInputStream(zstd)).readAllBytes());
    List<String> told = new ArrayList<>();
    for (Map.Entry<String, Callable<byte[]>> way : ways.entrySet()) {
      String outcome;
      try {
        byte[] sum = MessageDigest.getInstance("SHA-256").digest(way.getValue().call());
        outcome = "\"sha256\":\"" + HexFormat.of().formatHex(sum) + '"';
      } catch (Exception error) {
        outcome = "\"error\":\"" + error.toString().replaceAll("[\"\\\\\\p{Cntrl}]", "'") + '"';
      }
      told.add("{\"name\":\"" + way.getKey() + "\"," + outcome + '}');
    }
    System.out.println("[" + String.join(",", told) + "]");
    // OkHttp's threads would be waited for.
    System.exit(0);
  }

  private static <T> T get(String coding, BodyHandler<T> handler) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/" + coding)).header("Accept-Encoding", coding).build();
    return HttpClient.newHttpClient().send(request, handler).body();
  }
}
