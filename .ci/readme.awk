# The part of the demo's output that the README shows: the first finding, and how it compares with the truth.
BEGIN { print "```\n$ make demo\n…" }
/^[0-9]+ campaign/ && !found { found = 1; show = 1 }
/^  What to do/ { show = 0 }
/^3\. / { print "…" }
/^  found / { truth = 1 }
/^This world is small/ { truth = 0 }
show || truth { if ($0 != "" || last != "") print; last = $0 }
END { print "```" }
