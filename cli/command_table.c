// Every command, each in one row.
#include "cli/cli.h"

const Command command_table[] = {
    {"", "See where a model's outliers are, turn the dials of quantization, and see at once what that costs.",
     "Opens the terminal interface. If stdout is not a terminal, prints the same overview as text.",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_EVALUATION | TAKES_PROMPT | TAKES_SCREEN | TAKES_JSON,
     command_screen},
    {"inspect", "Weight ranges, outliers and histograms of every linear.", NULL, TAKES_MODEL | TAKES_JSON | TAKES_MATCH,
     command_inspect},
    {"calibrate", "Activation ranges of every linear's input, and their FPTQ class.",
     "-o keeps what was measured in a file for --statistics. Several processes may share the work: each writes the\n"
     "statistics of --part I/N to a file, and --merge MODEL FILES makes of them what one process would have measured.",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_JSON | TAKES_MATCH | TAKES_EVALUATION | TAKES_MEASURING,
     command_calibrate},
    {"plan", "What a recipe decides for every linear: bits, group size, policy, bits per weight, error.", NULL,
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_JSON | TAKES_MATCH | TAKES_AS, command_plan},
    {"eval", "Accuracy of the base and of the quantized model: perplexity, KL divergence, top-1 agreement.", NULL,
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_EVALUATION | TAKES_JSON | TAKES_TASK, command_eval},
    {"outliers", "Channels that exceed the rest, in activations and weights, and matrices that need finer groups.",
     NULL, TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_JSON | TAKES_MATCH | TAKES_FACTOR, command_outliers},
    {"sensitivity", "Which linears hurt: KL divergence with each one quantized alone, and with all but that one.",
     "The most harmful come first. Results are kept in the cache folder, so a stopped run continues where it was.",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_EVALUATION | TAKES_JSON | TAKES_MATCH | TAKES_SENSITIVITY |
         KEEPS,
     command_sensitivity},
    {"sweep",
     "Tries lists of values of one or two dials: size and accuracy at each point, with the Pareto front marked.",
     "For example: --sweep alpha=0.1:0.5:0.1 --sweep min-group=32,64",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_EVALUATION | TAKES_JSON | TAKES_SWEEP | KEEPS,
     command_sweep},
    {"compare", "All methods in one table, on the same tokens: size, accuracy and time. --recipe adds yours.",
     "Dials on the command line apply to every row, except for the dials that define a method.",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_EVALUATION | TAKES_JSON | KEEPS, command_compare},
    {"tune", "Finds bits and group size for each linear, within a bound on KL divergence or a budget of bits.",
     "Give --max-kl or --max-bits. Activations stay as the recipe has them, and groups no finer than --min-group. The\n"
     "choice is made on the calibration text and verified on the evaluation text. Ctrl-C ends the search: the best so\n"
     "far is verified and written. The same command then goes on.",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_EVALUATION | TAKES_JSON | TAKES_TUNE | KEEPS, command_tune},
    {"report", "Writes one HTML page about a recipe: maps of outliers, the worst linears, accuracy, texts, the recipe.",
     "-o names the page. It needs nothing beside it, neither files nor network, and can be read without scripts.",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_EVALUATION | TAKES_PROMPT | TAKES_PAGE, command_report},
    {"generate", "The same prompt through base and quantized model, with tokens per second of each.", NULL,
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_PROMPT | TAKES_LENGTH | TAKES_JSON, command_generate},
    {"bench",
     "Decode and prefill speed of the model and of quantized forms of it, and their share of the machine's limits.",
     "Schemes: base, w8, w4, w3, w2 (weight-only, groups of 64), w8a8, w4a8 (int8 activations per token, groups of "
     "128),\n"
     "recipe (--recipe and the dials). Runs alternate between the schemes, and in between the limits of memory and\n"
     "arithmetic are measured. --prefill 0 leaves prefill out. Several batches or contexts end with a map: where a\n"
     "scheme is faster than the base (--batch 1,8,32 --context 128,1024,2048).",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_JSON | TAKES_BENCH, command_bench},
    {"quantize", "Writes the quantized model as a checkpoint that other engines load.",
     "-o names the folder, or with --format gguf a file that ends in .gguf. What was stopped goes on where it was\n"
     "when the same command is run again; until then files are called .partial or stand in a folder called\n"
     ".unfinished. Equalization is folded into the weights. --dry-run says what would be written, and what engines\n"
     "will do with it: which kernel runs, and whether activations are quantized there. --format dense writes the\n"
     "numbers that codes stand for; without a recipe or dials it quantizes nothing, and what MODEL holds as codes\n"
     "becomes numbers. Several processes may share the work: each writes the files of --part I/N, and --finish adds\n"
     "the rest.",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_EVALUATION | TAKES_JSON | TAKES_EXPORT, command_quantize},
    {"tokenize", "Token ids of each line of stdin, one JSON array per line.", NULL, TAKES_MODEL, command_tokenize},
    {"logits", "Logits of given token ids as a safetensors file: logits, F32 [tokens, vocab].",
     "Runs the quantized model, or with --base the model as it is. Use --precision f32 to compare with other engines.",
     TAKES_MODEL | TAKES_RECIPE | TAKES_CALIBRATION | TAKES_IDS, command_logits},
    {"doctor", "What the program found: processor, CUDA device, terminal, libraries, folders.", NULL, TAKES_JSON,
     command_doctor},
    {"make-random", "Writes a checkpoint of random weights in a known shape, for measuring speed and memory.",
     "FOLDER must be empty or not exist yet. Shapes: tiny, llama-1.1b, llama-7b, llama-8b, llama-13b, llama-70b.",
     TAKES_SHAPE | HIDDEN, command_make_random},
};
const int command_count = sizeof command_table / sizeof *command_table;
