//! Every example of the course runs to its end: its own assertions are the test.

macro_rules! runs {
    ($($name:ident: $file:literal,)*) => {
        $(
            #[allow(unreachable_pub, reason = "an example's `main` is called from here")]
            #[path = $file]
            mod $name;

            #[test]
            fn $name() -> Result<(), Box<dyn std::error::Error>> {
                $name::main()
            }
        )*
    };
}

runs! {
    a_first_topology_counts: "../examples/01_first_topology.rs",
    the_same_topology_runs_on_a_log: "../examples/02_run_on_a_log.rs",
    a_stream_meets_tables: "../examples/03_tables_and_joins.rs",
    a_processor_keeps_time: "../examples/04_processor.rs",
    a_state_machine_waits_and_gives_up: "../examples/05_state_machine.rs",
    a_cluster_runs_from_one_seed: "../examples/06_simulation.rs",
}
