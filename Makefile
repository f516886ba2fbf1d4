# The project's entry points. Each installs what it needs beyond the Rust toolchain and prints what it measured.
.PHONY: demo test faults bench fuzz

demo: ## the whole product on this machine
	@tests/install.sh build
	cargo run --locked --quiet -- demo

test: ## everything that must pass before a change lands
	@tests/install.sh build test
	tests/run.sh

faults: ## the long fault runs: kills, power cuts, memory; the units under a real systemd
	@tests/install.sh build test systemd faults
	tests/faults/run.sh

bench: ## beside nginx, Postfix and Haraka, in one run; QUICK=1 takes four minutes, FULL=1 some hours
	@tests/install.sh build bench
	cargo bench --locked --bench relay -- $(if $(QUICK),--quick) $(if $(FULL),--full)

fuzz: ## ten minutes for each target
	@tests/install.sh build
	tests/fuzz.sh
