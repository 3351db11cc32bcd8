//! refmon's benchmarks live in `benches/`: `cargo bench -p refmon-bench`. Each prints a ratio against a baseline that
//! ran beside it; absolute figures depend on the machine.
