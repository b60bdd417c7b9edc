# The part of the demo's output that the README shows: the first finding, and how it compares with the truth.
BEGIN { print "```\n$ make demo\n…" }
/^A gateway is up/ { print; show = 0 }
/^ +[0-9]+ [A-Z][a-z]+ [0-9:]+ +[0-9]+ requests/ { if (!truth) before = $0; else if (lines++ % 4 == 0) print; last = $0; next }
/^[0-9]+ campaign/ && !found { found = 1; show = 1; print before }
/^  What to do/ { show = 0 }
/^To watch/ { print "…" }
/^Found after/ { truth = 1 }
show || truth { if ($0 != "" || last != "") print; last = $0 }
END { print "```" }
