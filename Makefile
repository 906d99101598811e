# From an archive of letters to a judged ONNX model. `make help` lists the targets and the variables.

MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh
.DEFAULT_GOAL := help

## Variables: what the chain runs on
DATASET ?= sample#         the data set: sample, notmnist, notmnist-small
ARCHIVE ?=#                or an archive of your own, by path or URL
TEST_ARCHIVE ?=#           and a second one to test on; otherwise a part of the first
RUN ?=#                    the run's name; the data set's unless you say otherwise
DATA ?= data#              the folder of the data sets
RUNS ?= runs#              the folder of the runs

## Variables: passed to the stages as their flags, where set
VALID_FRACTION ?=#         preprocess: share to validate on
TEST_FRACTION ?=#          preprocess: share to test on, where there is no test archive
MAX_REJECTS ?=#            preprocess: share of files that may be broken
RECIPE ?= fast#            train: the flags to begin with: course, fast, best
HIDDEN ?=#                 train: sizes of the hidden layers, as 1024,256
EPOCHS ?=#                 train: passes over the training split
BATCH_SIZE ?=#             train: images in a step
LEARNING_RATE ?=#          train: step size of Adam
WEIGHT_DECAY ?=#           train: decoupled weight decay
DROPOUT ?=#                train: share of activations to drop
LABEL_SMOOTHING ?=#        train: share of a label spread over all classes
SCHEDULE ?=#               train: constant, cosine, one-cycle
WARMUP ?=#                 train: share of steps in which the learning rate rises
PATIENCE ?=#               train: epochs without progress before stopping
CROSS_VALIDATE ?=#         train: folds to predict the training images by, so that evaluate finds wrong labels among them
ENGINE ?=#                 train: auto, cpu, cuda; cuda sets up the GPU's libraries (2 GB), auto does where there is a driver
PRECISION ?=#              train: precision of matrix products: f32, tf32, bf16 on the GPU; f32, f16 on the processor
TEMPERATURE ?=#            export: divide the logits by this, as evaluate fitted it on validation
PRIOR ?=#                  evaluate: expected class frequencies: split, uniform, english, FILE.json; blanks between several
ESTIMATE_PRIOR ?=#         evaluate: estimate the class frequencies of these unlabelled images, FILE.npy
COMPARE ?=#                evaluate: another run's report.json to compare with
PROVIDER ?=#               evaluate: auto, cpu, cuda
SEED ?=#                   preprocess, train: decides everything random
THREADS ?=#                preprocess, train, evaluate: threads; no result depends on it
RESUME ?=#                 train: 1 continues a training that was cut short
FETCH_FLAGS ?=#            further flags of fetch, see `target/release/fetch --help`; likewise ...
PREPROCESS_FLAGS ?=#       of preprocess
TRAIN_FLAGS ?=#            of train
EXPORT_FLAGS ?=#           of export
EVALUATE_FLAGS ?=#         of evaluate
LOCK ?= reproduce.lock#    reproduce, lock: the file of digests
SECONDS ?= 60#             fuzz: how long each parser is fuzzed
PYTHON ?= python3#         a Python 3 with pip
QUICK ?=#                  bench: 1 for fewer rows and turns, under three minutes

flag = $(if $(strip $($(1))),--$(2) $(strip $($(1))))

# What make cannot work with is said here, before anything is done in its name. Other marks have a meaning in names of
# targets and files alone, and a URL may hold them.
hash := \#
open := (
close := )
path_marks := ; | : * ? [ ] \ $(hash)
marks := $(path_marks) $(open) $(close) & % < >
held = $(strip $(foreach mark,$(1),$(findstring $(mark),$(2))))
awkward = $(call held,' " $$ `,$(1))$(word 2,$(1))
refuse_awkward = $(if $(call awkward,$($(1))),$(error $(1) is [$($(1))]: it may hold no blanks, quotes, dollar signs or backticks))
refuse_marks = $(if $(call held,$(3),$(2)),$(error $(1) is [$(2)]: it may hold none of $(3)))
refuse_empty = $(if $(strip $($(1))),,$(error $(1) is empty))
# A variable that this file does not know is misspelt, and the chain would run on something else; but for those that are for
# the programs that make calls.
of_programs := CARGO% RUST% PIP_% PYTHON% CUDA% OMP_% CC CXX CFLAGS LDFLAGS PATH HOME TMPDIR NO_COLOR CHROMIUM %_proxy
named := $(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),$(name)))
is_known = $(shell grep -Eq '^$(1) |[$$][(]$(1)[),]' $(firstword $(MAKEFILE_LIST)) && echo yes)
$(foreach name,$(filter-out $(of_programs),$(named)),$(if $(call is_known,$(name)),,$(error $(name) is no variable of this \
	Makefile: see make help)))
path_of = $(if $(findstring ://,$(1)),$(patsubst file://%,%,$(filter file://%,$(1))),$(patsubst file:%,%,$(1)))
archive_paths := $(foreach archive,$(ARCHIVE) $(TEST_ARCHIVE),$(call path_of,$(archive)))
$(foreach variable,DATASET ARCHIVE TEST_ARCHIVE RUN DATA RUNS,$(call refuse_awkward,$(variable)))
$(foreach variable,DATASET RUN DATA RUNS,$(call refuse_marks,$(variable),$($(variable)),$(marks)))
$(foreach path,$(archive_paths),$(call refuse_marks,the path of an archive,$(path),$(path_marks)))
$(foreach variable,$(if $(strip $(ARCHIVE)),,DATASET) DATA RUNS,$(call refuse_empty,$(variable)))
$(if $(and $(strip $(TEST_ARCHIVE)),$(if $(strip $(ARCHIVE)),,none)),$(error TEST_ARCHIVE goes with ARCHIVE))

# The archive's file name without its ending; of a URL, without its query. Marks become underscores.
without_marks = $(if $(1),$(call without_marks,$(wordlist 2,99,$(1)),$(subst $(firstword $(1)),_,$(2))),$(2))
archive_file := $(notdir $(firstword $(subst ?, ,$(subst $(hash), ,$(strip $(ARCHIVE))))))
archive_name := $(firstword $(foreach ending,.tar.gz .tgz .tar,$(patsubst %$(ending),%,$(filter %$(ending),$(archive_file)))) $(archive_file))
dataset := $(strip $(if $(strip $(ARCHIVE)),$(call without_marks,$(marks),$(archive_name)),$(DATASET)))
refuse_no_name = $(if $(filter . ..,$(subst /, ,$(2)))$(if $(subst /,,$(2)),,none),$(error $(1) is [$(2)]: it is no folder's name))
$(if $(strip $(ARCHIVE)),$(call refuse_no_name,the name of ARCHIVE,$(dataset)),$(call refuse_no_name,DATASET,$(subst /,..,$(dataset))))
$(call refuse_no_name,RUN,$(or $(strip $(RUN)),$(dataset)))
local_archives := $(wildcard $(archive_paths))
data := $(strip $(DATA))/$(dataset)
run := $(strip $(RUNS))/$(or $(strip $(RUN)),$(dataset))

source := $(data)/raw/source.json
shards := $(data)/shards/dataset.json
training := $(run)/training.json
exported := $(run)/export.json
report := $(run)/report/report.json

fetch_arguments := $(if $(strip $(ARCHIVE)),--archive='$(strip $(ARCHIVE))' --name='$(dataset)',--dataset $(dataset)) \
	$(if $(strip $(TEST_ARCHIVE)),--test-archive='$(strip $(TEST_ARCHIVE))') $(FETCH_FLAGS)
preprocess_arguments := $(call flag,VALID_FRACTION,valid-fraction) $(call flag,TEST_FRACTION,test-fraction) \
	$(call flag,MAX_REJECTS,max-rejects) $(call flag,SEED,seed) $(PREPROCESS_FLAGS)
# What is compared byte by byte is computed by the processor, unless another engine is named.
ifneq ($(filter reproduce lock,$(MAKECMDGOALS)),)
ENGINE := $(or $(strip $(ENGINE)),cpu)
PROVIDER := $(or $(strip $(PROVIDER)),cpu)
endif

train_arguments := $(call flag,RECIPE,recipe) $(call flag,HIDDEN,hidden) $(call flag,EPOCHS,epochs) $(call flag,BATCH_SIZE,batch-size) \
	$(call flag,LEARNING_RATE,learning-rate) $(call flag,WEIGHT_DECAY,weight-decay) $(call flag,DROPOUT,dropout) \
	$(call flag,LABEL_SMOOTHING,label-smoothing) $(call flag,SCHEDULE,schedule) $(call flag,WARMUP,warmup) \
	$(call flag,PATIENCE,patience) $(call flag,CROSS_VALIDATE,cross-validate) $(call flag,ENGINE,engine) \
	$(call flag,PRECISION,precision) $(call flag,SEED,seed) $(TRAIN_FLAGS)
export_arguments := $(call flag,TEMPERATURE,temperature) $(EXPORT_FLAGS)
evaluate_arguments := $(addprefix --prior ,$(PRIOR)) $(call flag,ESTIMATE_PRIOR,estimate-prior) $(call flag,COMPARE,compare) \
	$(call flag,PROVIDER,provider) $(EVALUATE_FLAGS)
threads := $(call flag,THREADS,threads)

# What decides the artifacts, for a make of its own; the folders and the threads are that one's choice.
chain_variables := $(foreach variable,DATASET ARCHIVE TEST_ARCHIVE VALID_FRACTION TEST_FRACTION MAX_REJECTS RECIPE HIDDEN \
	EPOCHS BATCH_SIZE LEARNING_RATE WEIGHT_DECAY DROPOUT LABEL_SMOOTHING SCHEDULE WARMUP PATIENCE CROSS_VALIDATE TEMPERATURE PRIOR \
	ESTIMATE_PRIOR COMPARE ENGINE PRECISION PROVIDER SEED \
	FETCH_FLAGS PREPROCESS_FLAGS TRAIN_FLAGS EXPORT_FLAGS EVALUATE_FLAGS,\
	$(if $(strip $($(variable))),'$(variable)=$(strip $($(variable)))'))

target := $(or $(CARGO_TARGET_DIR),target)
bin := $(target)/release
# The binaries are where they are looked for, whatever cargo's variables say.
unexport CARGO_BUILD_TARGET
cargo_build := cargo build --release --locked --target-dir '$(target)'
stages := fetch preprocess train export evaluate
build_stamp := $(bin)/.built
build_inputs := Cargo.toml Cargo.lock rust-toolchain.toml $(wildcard */Cargo.toml */src */src/*.rs */src/*/ */src/*/*.rs */src/*/*/ */src/*/*/*.rs \
	*/src/*/*.css */src/*/*/*.css train/src/cuda/kernels.cu fetch/sample/*)

# The GPU's libraries are set up where it is asked for, or left open and the driver is there; never on another machine.
has_driver := $(shell /sbin/ldconfig -p 2>/dev/null | grep --max-count=1 --only-matching 'libcuda\.so\.1')$(firstword $(wildcard \
	$(addsuffix /libcuda.so.1,/usr/lib/wsl/lib /usr/local/nvidia/lib64 $(subst :, ,$(LD_LIBRARY_PATH)))))
uses_gpu := $(if $(filter cuda,$(ENGINE) $(PROVIDER)),yes,$(if $(filter cpu,$(ENGINE)),,$(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),$(has_driver))))

# A library of the person's own choice is used as it is; otherwise the pinned package's is unpacked once.
runtime_folder := .cache/$(if $(uses_gpu),onnxruntime-cuda,onnxruntime)
unpacked_onnxruntime := $(runtime_folder)/libonnxruntime.$(if $(filter Darwin,$(shell uname)),dylib,so)
ifneq ($(uses_gpu),)
export CUDA_LIBRARIES ?= $(CURDIR)/$(runtime_folder)
endif
ORT_DYLIB_PATH ?= $(CURDIR)/$(unpacked_onnxruntime)
export ORT_DYLIB_PATH
onnxruntime := $(if $(filter $(CURDIR)/$(unpacked_onnxruntime),$(ORT_DYLIB_PATH)),$(unpacked_onnxruntime))

test_packages := .cache/test-packages
bench_packages := .cache/bench-packages
kernel_tools := .cache/cuda-kernels

## Targets: the chain
.PHONY: all fetch preprocess train export evaluate build
all: evaluate ## the whole chain: fetch, preprocess, train, export, evaluate
	@echo "all: $(report)"
fetch: $(source) ## download, check and unpack the archive
preprocess: $(shards) ## turn the images into .npy shards
train: $(training) ## train the network
export: $(exported) ## write the network as ONNX
evaluate: $(report) ## judge the ONNX model on the test split
build: $(build_stamp) ## build the binaries

# A stage runs again where an input is newer, an output is gone, or its record is not what it last wrote, with these
# arguments. They are noted after it with the record's checksum: a stage that fails or is refused has changed neither.
fetch_outputs := $(source)
preprocess_outputs := $(shards) $(data)/shards/removed.jsonl
train_outputs := $(training) $(addprefix $(run)/,checkpoint.safetensors metrics.jsonl reference-logits.npy \
	$(if $(CROSS_VALIDATE),cross-validation.json out-of-sample-logits.npy))
export_outputs := $(exported) $(run)/model.onnx
evaluate_outputs := $(report) $(addprefix $(run)/report/,report.html timings.html timings.json logits.npy predictions.npy \
	probabilities.npy saliency.npy validation-logits.npy figures/confusion-counts.svg)

# A person's own files count with their age: one that is put in the place of a younger one is no newer than what came of that.
own_files = $(if $(filter fetch,$(1)),$(local_archives), \
	$(if $(filter evaluate,$(1)),$(wildcard $(PRIOR) $(ESTIMATE_PRIOR) $(COMPARE))))
# Threads and verbosity decide no result; a library of the person's own choice does.
decisive = $(strip $(filter-out -q -v -vv --quiet --verbose,$($(1)_arguments)) \
	$(if $(filter train export evaluate,$(1)),on $(data)) $(if $(filter evaluate,$(1)),$(if $(onnxruntime),,by $(ORT_DYLIB_PATH))) \
	$(foreach file,$(call own_files,$(1)),$(shell date -r '$(file)' +%s)))
note = $(if $(filter fetch preprocess,$(1)),$(data),$(run))/.$(1).arguments
checksum = cksum < $(firstword $($(1)_outputs))
differ = $(subst x$(1),,x$(2))$(subst x$(2),,x$(1))
missing = $(strip $(foreach output,$(1),$(if $(wildcard $(output)),,$(output))))
is_changed = $(call differ,$(strip $(shell cat $(call note,$(1)) 2>/dev/null)),$(strip $(call decisive,$(1)) $(shell $(call checksum,$(1)))))
unless_done = $(if $(call missing,$($(1)_outputs)),FORCE,$(if $(call is_changed,$(1)),FORCE))
shard_files := $(words $(wildcard $(addprefix $(data)/shards/*/,images-* labels-* names-*)))
unless_whole := $(if $(wildcard $(shards)),$(if $(call differ,$(shard_files),$(shell grep -c '"path"' $(shards))),FORCE))

define begin
	@mkdir -p $(dir $(call note,$(1)))
endef
define end
	@{ printf '%s ' '$(subst ','\'',$(call decisive,$(1)))'; $(call checksum,$(1)); } > $(call note,$(1))
endef
.PHONY: FORCE

$(source): $(bin)/fetch $(local_archives) $(call unless_done,fetch)
	$(call begin,fetch)
	$< $(strip $(fetch_arguments) --output $(@D))
	@touch $@
	$(call end,fetch)

$(shards): $(bin)/preprocess $(source) $(call unless_done,preprocess) $(unless_whole)
	$(call begin,preprocess)
	$< $(strip --input $(data)/raw --output $(@D) $(preprocess_arguments) $(threads))
	$(call end,preprocess)

$(training): $(bin)/train $(shards) $(if $(uses_gpu),$(if $(CUDA_HOME),,$(unpacked_onnxruntime))) $(call unless_done,train)
	$(call begin,train)
	$< $(strip --dataset $(data)/shards --run $(run) $(train_arguments) $(threads) $(if $(filter-out 0,$(RESUME)),--resume))
	$(call end,train)

$(exported): $(bin)/export $(training) $(call unless_done,export)
	$(call begin,export)
	$< $(strip --run $(run) $(export_arguments))
	$(call end,export)

$(report): $(bin)/evaluate $(exported) $(shards) $(onnxruntime) $(wildcard $(PRIOR) $(ESTIMATE_PRIOR) $(COMPARE)) \
		$(call unless_done,evaluate)
	$(call begin,evaluate)
	$< $(strip --run $(run) --dataset $(data)/shards $(evaluate_arguments) $(threads))
	$(call end,evaluate)

$(build_stamp): $(build_inputs)
	$(cargo_build) $(addprefix --package ,$(stages))
	@test -x $(bin)/fetch || { echo "error: cargo did not write $(bin)/fetch: unset build.target in its configuration" >&2; exit 1; }
	@touch $@

# The stamp says that cargo was asked; a binary that cargo left as it was makes no stage run again.
$(addprefix $(bin)/,$(stages)): $(build_stamp)
	@test -x $@ || { rm -f $(build_stamp); echo "error: $@ is gone; run make again" >&2; exit 1; }

.cache/onnxruntime/libonnxruntime.%: python/onnxruntime.txt python/unpack_onnxruntime.py python/wheels.py
	$(PYTHON) python/unpack_onnxruntime.py $(@D)
	@touch $@

.cache/onnxruntime-cuda/libonnxruntime.so: python/cuda.txt python/unpack_cuda.py python/wheels.py
	@echo "cuda: unpacking the GPU's libraries (once; 2 GB to download)"
	$(PYTHON) python/unpack_cuda.py $(@D)
	@touch $@

## Targets: trust
.PHONY: reproduce lock verify fuzz sanitize load
reproduce: $(build_stamp) $(onnxruntime) ## run the chain twice, as differently as can be, and compare every byte
	$(PYTHON) python/reproduce.py --lock $(LOCK) -- $(chain_variables)

lock: $(build_stamp) $(onnxruntime) ## write the digests that `make reproduce` compares with: reproduce.lock
	$(PYTHON) python/reproduce.py --write-lock $(LOCK) -- $(chain_variables)

verify: ## walk the chain backwards, from report.json to the archive, and say where it is broken
	$(PYTHON) -X utf8 python/verify.py --data $(data) --run $(run) $(foreach archive,$(local_archives),--archive='$(archive)')

fuzz: ## libFuzzer and AddressSanitizer on every parser for SECONDS each; what panics goes to fuzz/corpus
	fuzz/run $(SECONDS)

sanitize: $(onnxruntime) ## the unsafe code under AddressSanitizer, ThreadSanitizer, and valgrind where there is one
	.ci/sanitize

load: $(build_stamp) $(onnxruntime) ## the chain on ARCHIVE within two cores and 2 GiB: writes the peak memory of each stage to bench/RESULTS.md
	$(if $(strip $(local_archives)),,$(error load needs ARCHIVE, the path of an archive))
	$(PYTHON) bench/load.py -- $(foreach archive,$(local_archives),'$(archive)')

## Targets: the project
.PHONY: test emulate bench gpu-check lint format help clean distclean
test: $(build_stamp) $(onnxruntime) $(test_packages)/.installed $(kernel_tools)/.installed ## set up what the tests need, and run all of them
	cargo test --workspace --locked
	PYTHONPATH=$(test_packages) $(PYTHON) -m pytest tests

emulate: ## run the CPU engine's tests on emulated processors, with NEON and with AVX512-FP16 (Debian, ten minutes)
	$(PYTHON) train/tests/emulate.py .cache/emulator

bench: $(report) $(bench_packages)/.installed ## measure speed beside PyTorch and others: bench/RESULTS.md
	$(cargo_build) --package bench
	PYTHONPATH=$(bench_packages) $(PYTHON) bench/run.py --data $(data) --run $(run) $(if $(filter-out 0,$(QUICK)),--quick)

gpu-check: $(build_stamp) $(shards) ## build the folder that proves the CUDA engine on a machine with a GPU: .cache/gpu-check
	$(PYTHON) bench/gpu_check/build.py $(bin) $(data)/shards .cache/gpu-check

lint: ## check the formatting, and clippy and the documentation with warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --document-private-items --locked

format: ## format the code
	cargo fmt --all

$(test_packages)/.installed: python/tests.txt
	@echo "test: installing the packages that the tests compare with (once; 800 MB unpacked)"
	$(install_packages)
	@touch $@

$(kernel_tools)/.installed: python/cuda-kernels.txt
	@echo "test: installing what compiles the GPU's kernels, without a GPU (once; 90 MB to download)"
	$(install_packages) --no-deps
	@touch $@

$(bench_packages)/.installed: bench/requirements.txt
	@echo "bench: installing PyTorch and the other peers (once; 2.5 GB to download, 6 GB unpacked)"
	$(install_packages)
	@touch $@

define install_packages
	rm -rf $(@D)
	$(PYTHON) -m pip install --quiet --quiet --disable-pip-version-check --no-warn-script-location --require-hashes \
		--only-binary=:all: --target $(@D) --requirement $<
endef

clean: ## remove this run and this data set's shards
	rm -rf $(run) $(data)/shards $(data)/.shards.partial $(data)/.shards.removed $(data)/.shards.replaced $(call note,preprocess)

distclean: ## remove data/, runs/, .cache/ and, unless CARGO_TARGET_DIR says that others share it, what cargo built
	rm -rf data runs .cache
	$(if $(CARGO_TARGET_DIR),@echo "distclean: $(CARGO_TARGET_DIR) stays: others may build there",cargo clean)

help: ## this list
	@echo "make TARGET [VARIABLE=value ...]"
	@awk -F ':.*## ' '/^## Targets: /{sub(/^## Targets: /,""); printf "\nTargets: %s\n", $$0} \
		/^[a-z-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' Makefile
	@awk '/^## Variables: /{sub(/^## Variables: /,""); printf "\nVariables: %s\n", $$0} \
		/^[A-Z_]+ \?=.*#/{name=$$1; text=$$0; sub(/^[^#]*# */,"",text); \
			value=$$0; sub(/^[A-Z_]+ \?= */,"",value); sub(/ *#.*/,"",value); \
			printf "  %-18s %s%s\n", name, text, (value=="" || value ~ /\$$/ ? "" : " [" value "]")}' Makefile
