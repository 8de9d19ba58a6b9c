"""What a folder of clean shards holds, for people: counts, tables, histograms, a contact sheet."""
