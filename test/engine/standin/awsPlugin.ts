/**
 * The engine's provider protocol (gRPC) for the stand-in of the AWS provider. The SDK's own `provider.main` would be
 * shorter, but it knows neither previews of single resources nor detailed diffs, and the real provider has both.
 */
import * as grpc from "@grpc/grpc-js";
import { ResourceProviderService } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as messages from "@pulumi/pulumi/proto/provider_pb";
import { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { Struct } from "google-protobuf/google/protobuf/struct_pb";
import type { Properties } from "../answers";
import { AwsProvider } from "./awsProvider";
import type { Change } from "./difference";

const provider = new AwsProvider(process.env);
const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };

/** Wraps a function of the request into a gRPC handler; what it throws becomes the engine's error message. */
function answering<Request, Response>(
  answer: (request: Request) => Response,
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    try {
      callback(null, answer(call.request));
    } catch (error) {
      const details = error instanceof Error ? error.message : String(error);
      callback({ code: grpc.status.UNKNOWN, details });
    }
  };
}

function plain(struct: Struct | undefined): Properties {
  return struct?.toJavaScript() ?? {};
}

function struct(properties: Properties): Struct {
  const defined = Object.entries(properties).filter(([, value]) => value !== undefined);
  return Struct.fromJavaScript(Object.fromEntries(defined) as Parameters<typeof Struct.fromJavaScript>[0]);
}

function configure(request: messages.ConfigureRequest): messages.ConfigureResponse {
  provider.configure(plain(request.getArgs()));
  const response = new messages.ConfigureResponse();
  // As the real provider: the engine itself keeps track of what is secret.
  response.setAcceptsecrets(false);
  response.setSupportspreview(true);
  return response;
}

function check(request: messages.CheckRequest): messages.CheckResponse {
  const { inputs, missing } = provider.check(
    request.getUrn(),
    plain(request.getNews()),
    plain(request.getOlds()),
  );
  const response = new messages.CheckResponse();
  response.setInputs(struct(inputs));
  response.setFailuresList(
    missing.map((property) => {
      const failure = new messages.CheckFailure();
      failure.setProperty(property);
      failure.setReason(`Missing required argument "${property}"`);
      return failure;
    }),
  );
  return response;
}

function diff(request: messages.DiffRequest): messages.DiffResponse {
  const result = provider.diff(request.getUrn(), plain(request.getOldInputs()), plain(request.getNews()));
  const response = new messages.DiffResponse();
  const { DIFF_SOME, DIFF_NONE } = messages.DiffResponse.DiffChanges;
  response.setChanges(result.changes.size > 0 ? DIFF_SOME : DIFF_NONE);
  response.setReplacesList(result.replaces);
  response.setDeletebeforereplace(result.deleteBeforeReplace);
  response.setHasdetaileddiff(true);
  const properties = new Set<string>();
  for (const [path, change] of result.changes) {
    const property = path.split(/[.[]/, 1)[0] ?? path;
    properties.add(property);
    const difference = new messages.PropertyDiff();
    difference.setKind(kindOf(change, result.replaces.includes(property)));
    difference.setInputdiff(true);
    response.getDetaileddiffMap().set(path, difference);
  }
  response.setDiffsList([...properties]);
  return response;
}

function kindOf(change: Change, replaces: boolean) {
  const { ADD, ADD_REPLACE, DELETE, DELETE_REPLACE, UPDATE, UPDATE_REPLACE } = messages.PropertyDiff.Kind;
  const kinds = {
    add: [ADD, ADD_REPLACE],
    delete: [DELETE, DELETE_REPLACE],
    update: [UPDATE, UPDATE_REPLACE],
  } as const;
  return kinds[change][replaces ? 1 : 0];
}

function create(request: messages.CreateRequest): messages.CreateResponse {
  const made = provider.create(request.getUrn(), plain(request.getProperties()), request.getPreview());
  const response = new messages.CreateResponse();
  response.setId(made.id);
  response.setProperties(struct(made.outputs));
  return response;
}

function update(request: messages.UpdateRequest): messages.UpdateResponse {
  const olds = plain(request.getOlds());
  const oldInputs = plain(request.getOldInputs());
  const news = plain(request.getNews());
  const response = new messages.UpdateResponse();
  response.setProperties(
    struct(provider.update(request.getUrn(), olds, oldInputs, news, request.getPreview())),
  );
  return response;
}

function read(request: messages.ReadRequest): messages.ReadResponse {
  const response = new messages.ReadResponse();
  response.setId(request.getId());
  response.setProperties(
    struct(provider.read(request.getUrn(), request.getId(), plain(request.getProperties()))),
  );
  response.setInputs(request.getInputs() ?? struct({}));
  return response;
}

function invoke(request: messages.InvokeRequest): messages.InvokeResponse {
  const response = new messages.InvokeResponse();
  response.setReturn(struct(provider.invoke(request.getTok(), plain(request.getArgs()))));
  return response;
}

function pluginInfo(): PluginInfo {
  const info = new PluginInfo();
  info.setVersion("7.48.0");
  return info;
}

/** Serves until the engine ends the process; the port on the first line of stdout is how the engine finds us. */
function main(): void {
  const server = new grpc.Server(unlimited);
  server.addService(ResourceProviderService, {
    attach: answering(() => new Empty()),
    cancel: answering(() => new Empty()),
    check: answering(check),
    configure: answering(configure),
    create: answering(create),
    delete: answering(() => new Empty()),
    diff: answering(diff),
    getPluginInfo: answering(pluginInfo),
    invoke: answering(invoke),
    read: answering(read),
    update: answering(update),
  });
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    process.stdout.write(`${port}\n`);
  });
}

main();
