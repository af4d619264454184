#include "compiler/trace.hpp"

#include <doctest/doctest.h>

#include "compiler/expand_paths.hpp"
#include "compiler/factor.hpp"
#include "compiler/keep_outputs.hpp"
#include "ir/error.hpp"
#include "tests/support/every_triple.hpp"

using namespace flashtp;
using namespace flashtp::test;

namespace {

const PathProgram& paths() {
    static const PathProgram program = expand_paths(every_triple(ConnectionMode::uvu, true, 0));
    return program;
}

}  // namespace

TEST_CASE("a trace returns the program and records every pass") {
    Trace trace;
    const EdgeProgram program = trace("factor", factor(trace("expand paths", paths()), Factoring::products));
    CHECK(program == factor(paths(), Factoring::products));
    REQUIRE(trace.steps().size() == 2);
    CHECK(trace.steps()[0].pass == "expand paths");
    CHECK(trace.steps()[1].pass == "factor");
    CHECK(trace.steps()[1].text.empty());
    CHECK(trace.total_seconds() >= trace.steps()[1].seconds);
    CHECK(trace.steps()[1].seconds >= 0);
}

TEST_CASE("a dumping trace prints every level and says where a pass did nothing") {
    Trace trace(true);
    const EdgeProgram program = trace("factor", factor(paths(), Factoring::products));
    trace("keep outputs", keep_outputs(program, {"z"}));
    trace("drop all", keep_outputs(program, {}));
    CHECK(trace.steps()[0].text == to_string(program));
    CHECK(trace.steps()[1].text == "(unchanged)\n");
    CHECK(trace.steps()[2].text == to_string(keep_outputs(program, {})));
    CHECK(to_string(trace).starts_with("== factor ==\noperands\n"));
}

TEST_CASE("a pass that returns a broken program is caught where it happened") {
    EdgeProgram program = factor(paths(), Factoring::products);
    program.statements.front().entries.front().dst = 99;
    Trace trace;
    CHECK_THROWS_AS(trace("broken", program), InternalError);
    CHECK(trace.steps().empty());
}
