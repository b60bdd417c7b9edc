// Puts a gzip and a brotli form beside each file of the build, so that the server compresses nothing.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const text = new Set([".html", ".js", ".css", ".svg"]);
let raw = 0;
for (const e of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!e.isFile() || !text.has(extname(e.name))) continue;
  const file = join(e.parentPath, e.name);
  const data = readFileSync(file);
  raw += data.length;
  const gz = gzipSync(data, { level: 9 });
  gz[9] = 255; // the system it was made on is nobody's business
  const br = brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: data.length } });
  if (gz.length < data.length) writeFileSync(file + ".gz", gz);
  if (br.length < data.length) writeFileSync(file + ".br", br);
}
console.log(`packed ${(raw / 1000).toFixed(0)} kB`);
