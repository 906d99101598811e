/// How much an archive may hold.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Limits {
    /// Most files that an archive may hold
    #[arg(long, value_name = "FILES", default_value_t = 5_000_000, help_heading = "Limits")]
    pub max_files: u64,

    /// Most bytes that an archive's files may have together
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 30, help_heading = "Limits")]
    pub max_unpacked_bytes: u64,
}
