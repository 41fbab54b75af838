//! Guides, one page each. The first table is for users, the second for people who change the crate.
//!
//! | you want to | page |
//! |---|---|
//! | run a task | [tasks] |
//! | port a Python program | [from Python](from_python), [differences] |
//! | know how answers are found | [generation] |
//! | write a generation loop | [your own loop](your_own_loop), [processors and samplers](processors) |
//! | serve many users | [serving] |
//! | read and write audio files | `audio` (feature `audio`) |
//! | make music, speak with Bark, use codecs | `music` (feature `audio`) |
//! | look at pictures | `vision` (feature `image`) |
//! | paint pictures | `images` (feature `image`) |
//! | speak texts | `speech` (feature `audio`) |
//! | ask a service | [remote] |
//! | take the minutes of a meeting | [minutes] |
//! | work without a network | [offline] |
//! | fit a model into memory | [memory], [quantization], [loading](crate::weights) |
//! | know which files are read | [tokenizers], [sentence-transformers](sentence_transformers), [loading](crate::weights) |
//! | know what hostile input can do | [robustness] |
//! | choose a library | [comparison](compare), [benchmarks] |
//!
//! | you change | page |
//! |---|---|
//! | anything | [contributing], [architecture], [style], [glossary] |
//! | the models | [adding a family](adding_a_model), [goldens], [debugging] |
//! | the tasks | [adding a task](adding_a_task) |
//! | the kernels | [adding a kernel](adding_a_kernel), [benchmarks] |

/// Makes a module of each page. The files link to each other as `[page]` and define those links for
/// readers of the repository; `links.md` comes first and defines them for rustdoc.
macro_rules! pages {
    ($($page:ident = $file:literal),+ $(,)?) => {$(
        #[doc = include_str!("guide/links.md")]
        #[doc = include_str!(concat!("../", $file))]
        pub mod $page {}
    )+};
}

pages! {
    adding_a_kernel = "docs/adding-a-kernel.md",
    adding_a_model = "docs/adding-a-model.md",
    adding_a_task = "docs/adding-a-task.md",
    architecture = "docs/architecture.md",
    benchmarks = "docs/benchmarks.md",
    compare = "docs/compare.md",
    contributing = "CONTRIBUTING.md",
    debugging = "docs/debugging.md",
    differences = "docs/differences.md",
    from_python = "docs/from-python.md",
    generation = "docs/generation.md",
    glossary = "docs/glossary.md",
    goldens = "docs/goldens.md",
    memory = "docs/memory.md",
    minutes = "docs/minutes.md",
    offline = "docs/offline.md",
    processors = "docs/processors.md",
    quantization = "docs/quantization.md",
    remote = "docs/remote.md",
    robustness = "docs/robustness.md",
    sentence_transformers = "docs/sentence-transformers.md",
    serving = "docs/serving.md",
    style = "docs/style.md",
    tasks = "docs/tasks.md",
    tokenizers = "docs/tokenizers.md",
    your_own_loop = "docs/your-own-loop.md",
}

#[cfg(feature = "image")]
pages! {
    images = "docs/images.md",
}

#[cfg(feature = "audio")]
pages! {
    audio = "docs/audio.md",
    music = "docs/music.md",
    speech = "docs/speech.md",
}

#[cfg(feature = "image")]
pages! {
    vision = "docs/vision.md",
}
