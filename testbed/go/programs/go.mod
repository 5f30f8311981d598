module testbed.local/programs

go 1.24
