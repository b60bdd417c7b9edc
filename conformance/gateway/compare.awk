# Compares what clients saw on two roads. Input: files NAME.direct.tsv and NAME.gateway.tsv with lines client, case, result.
function short(s, at) {
	from = at > 90 ? at - 90 : 1
	return (from > 1 ? "..." : "") substr(s, from, 260) (length(s) > from + 260 ? "..." : "")
}
FNR == 1 { road = FILENAME ~ /\.gateway\.tsv$/ ? "gateway" : "direct" }
{
	if (!($1 in known)) { known[$1] = 1; clients[++n] = $1 }
	if (!($2 in column)) { column[$2] = 1; cases[++m] = $2 }
	seen[$1, $2, road] = $3
}
END {
	for (i = 1; i <= n; i++) {
		for (j = 1; j <= m; j++) {
			c = clients[i]; k = cases[j]
			a = seen[c, k, "direct"]; b = seen[c, k, "gateway"]
			if (a == "" && b == "") { verdict[c, k] = "-"; continue }
			total++
			if (a == "" || b == "" || a ~ /^\{"failed":"no answer/) { verdict[c, k] = "NOT RUN"; bad++; continue }
			if (a == b) { verdict[c, k] = "same"; same++; continue }
			verdict[c, k] = "DIFFERS"; bad++
			for (at = 1; substr(a, at, 1) == substr(b, at, 1); at++);
			detail[++d] = c ", " k ":\n  direct  " short(a, at) "\n  gateway " short(b, at)
		}
	}
	printf "%-18s", ""
	for (j = 1; j <= m; j++) printf " %-19s", cases[j]
	print ""
	for (i = 1; i <= n; i++) {
		printf "%-18s", clients[i]
		for (j = 1; j <= m; j++) printf " %-19s", verdict[clients[i], cases[j]]
		print ""
	}
	for (i = 1; i <= d; i++) print "\n" detail[i]
	printf "\n%d passed, %d failed, %d skipped\n", same, bad, skipped
	exit bad > 0
}
