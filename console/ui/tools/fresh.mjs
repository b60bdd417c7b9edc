// Builds anew and says whether the committed files are what comes out. The bytes of the files themselves must be the same;
// of their compressed forms, what they hold, since another zlib may pack the same differently. Run after `npm ci`.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const ui = fileURLToPath(new URL("..", import.meta.url));
const kept = mkdtempSync(join(tmpdir(), "palladium-dist-"));
cpSync(dist, kept, { recursive: true });
const files = (dir) => readdirSync(dir, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).map((e) => relative(dir, join(e.parentPath, e.name))).sort();
const open = (name, data) => (name.endsWith(".gz") ? gunzipSync(data) : name.endsWith(".br") ? brotliDecompressSync(data) : data);
const problems = [];
try {
  execFileSync("npm", ["run", "--silent", "build"], { cwd: ui, stdio: ["ignore", "ignore", "inherit"] });
  for (const f of new Set([...files(kept), ...files(dist)])) {
    const [was, is] = [join(kept, f), join(dist, f)];
    if (!existsSync(was)) problems.push(`${f} is missing from console/dist`);
    else if (!existsSync(is)) problems.push(`${f} lies in console/dist, but is not part of the build`);
    else if (!open(f, readFileSync(was)).equals(open(f, readFileSync(is)))) problems.push(`${f} is not what the source builds`);
  }
} finally {
  rmSync(dist, { recursive: true, force: true });
  cpSync(kept, dist, { recursive: true });
  rmSync(kept, { recursive: true, force: true });
}
if (problems.length) {
  console.error("console/dist is not up to date; run `make console` and commit what changes:\n  " + problems.join("\n  "));
  process.exit(1);
}
console.log("console/dist is what console/ui builds");
